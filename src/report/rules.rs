//! The invariants of APFS, by the numbers of the lab's book (`formats/apfs-checks.md`): what
//! a sound container holds, how bad it is where one does not, and the code that tells of it.

use super::{Code, Severity};
use std::fmt;

// Number, code, severity, `unseen` where no sample of Apple's has the structure, and what holds.
macro_rules! rules {
    ($($rule:ident $code:ident $severity:ident $($unseen:ident)? $text:literal;)*) => {
        /// An invariant of APFS.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $text] $rule,)*
        }

        impl Rule {
            /// Every rule, in the order of the book.
            pub const ALL: &[Rule] = &[$(Rule::$rule,)*];

            /// Its number, `A001`.
            pub fn name(self) -> &'static str {
                match self { $(Rule::$rule => stringify!($rule),)* }
            }

            /// The code of findings about it.
            pub fn code(self) -> Code {
                match self { $(Rule::$rule => Code::$code,)* }
            }

            /// What holds on a sound volume.
            pub fn holds(self) -> &'static str {
                match self { $(Rule::$rule => $text,)* }
            }

            /// How bad it is where a sample confirms the rule.
            pub fn full_severity(self) -> Severity {
                match self { $(Rule::$rule => Severity::$severity,)* }
            }

            /// Whether no volume of Apple's was seen that has the structure.
            pub fn is_unseen(self) -> bool {
                match self { $(Rule::$rule => false $(|| stringify!($unseen) == "unseen")?,)* }
            }
        }
    };
}

rules! {
    A001 ApfsCheckpoint Damage "block 0 begins with a container superblock";
    A002 ApfsCheckpoint Damage "blocks have a size from 4,096 to 65,536 bytes that is a power of two";
    A003 ApfsCheckpoint Damage "the sum of block 0 is right";
    A004 ApfsCheckpoint Damage "block 0 calls itself object 1, a container superblock";
    A005 ApfsUnreadable Damage "the area of checkpoint descriptors lies in the container";
    A006 ApfsUnreadable Damage "the descriptors hold a sound superblock";
    A007 ApfsCheckpoint Warning "the newest checkpoint is complete";
    A008 ApfsContainer Warning "block 0 says the same as the newest superblock of its transaction";
    A009 ApfsState Info "block 0 and the newest superblock are of one transaction";
    A010 ApfsRing Damage "the superblock stands where it says that it stands in the ring";
    A011 ApfsRing Damage "the ring of checkpoint data says where it begins, ends and goes on, without contradiction";
    A012 ApfsRing Damage "a checkpoint map is a sound object of its type at its own block";
    A013 ApfsRing Damage "a checkpoint map and its superblock are of one transaction";
    A014 ApfsRing Warning "the last checkpoint map, and no other, is marked as the last";
    A015 ApfsRing Damage "the mappings of a checkpoint map fit into its block";
    A016 ApfsRing Warning "a mapping of the checkpoint covers whole blocks, and its unused field is zero";
    A017 ApfsRing Damage "the mappings of a checkpoint follow each other in the ring, and none has another's number";
    A018 ApfsRing Damage "the sum of what a checkpoint maps is right";
    A019 ApfsRing Damage "what a checkpoint maps is the object that the mapping names";
    A020 ApfsRing Damage "the mapped blocks are as many as the superblock says";
    A021 ApfsRing Damage "the checkpoint holds the space manager, the reaper and its lists, and the free queues";
    A022 ApfsCheckpoint Damage "the container ends within the device";
    A023 ApfsContainer Damage "the next transaction follows the last";
    A024 ApfsContainer Damage "the next object number is not one of the reserved ones";
    A025 ApfsContainer Warning "the container admits as many volumes as its size allows";
    A026 ApfsContainer Warning "the container has no unknown optional features";
    A027 ApfsContainer Damage "the container has the features that every reader must know, and no unknown one";
    A028 ApfsContainer Warning "the container has no unknown flags";
    A029 ApfsContainer Warning "the fields for tests are zero";
    A030 ApfsContainer Warning "the fields of Fusion drives are zero where there is none";
    A031 ApfsState Info "the container is not being made smaller";
    A032 ApfsContainer Warning "the container's limits of what is kept in memory are as its size asks";
    A033 ApfsRing Warning "everything that the checkpoint maps is used";
    A034 ApfsCheckpoint Info "the last block lies wholly on the device";
    A035 ApfsCheckpoint Damage unseen "block 0 is not newer than the newest sound checkpoint";
    A039 ApfsContainer Damage "the newest superblock calls itself object 1, of the memory";
    A040 ApfsUnreadable Damage "the sum of an object is right";
    A041 ApfsUnreadable Damage "an object has the number by which it was asked for";
    A042 ApfsUnreadable Damage "an object was written by a transaction that has been";
    A043 ApfsUnreadable Damage "an object has the type that its place asks for";
    A044 ApfsUnreadable Damage "an object is stored as its type is (by block, by number, of memory)";
    A045 ApfsUnreadable Damage "an object lies in the container";
    A046 ApfsObject Damage "an object has no flags that never occur on a disk";
    A047 ApfsObject Damage "an object is encrypted as its mapping says";
    A048 ApfsObject Damage "a virtual object has a number that was given out";
    A049 ApfsObject Damage "nodes with hashes, or without a header, occur in sealed trees only";
    A050 ApfsNode Damage "a node has no unknown flags";
    A051 ApfsNode Damage "the table of a node begins where its data begins";
    A052 ApfsNode Damage "table, keys, free space and values follow each other in a node";
    A053 ApfsNode Damage "the entries of a node fit into its table";
    A054 ApfsNode Damage "only a root is empty";
    A055 ApfsNode Damage "each key and value lies in its area";
    A056 ApfsNode Damage "no byte belongs to two records of a node";
    A057 ApfsNode Damage "the free pieces of the key area lie in it, apart from keys and each other";
    A058 ApfsNode Damage "the free bytes of the key area are as many as the node says";
    A059 ApfsNode Damage "the free pieces of the value area lie in it, apart from values and each other";
    A060 ApfsNode Damage "the free bytes of the value area are as many as the node says";
    A061 ApfsTree Damage "keys ascend";
    A062 ApfsTree Damage "an index key is the first key of the node it leads to";
    A063 ApfsTree Damage "levels fall by one from node to node, and only level 0 is of leaves";
    A064 ApfsTree Damage "the root is marked as one and no other node is";
    A065 ApfsTree Damage "every node has the subtype of its tree";
    A066 ApfsTree Damage "entries have a fixed size in those trees whose keys have one";
    A067 ApfsTree Damage "the flags of a tree are those of its kind";
    A068 ApfsTree Damage "the size of nodes is that of the node";
    A069 ApfsTree Damage "the sizes of keys and values are those of the kind of tree";
    A070 ApfsTree Warning "no key or value is longer than the longest the tree tells of";
    A071 ApfsTree Damage "a tree has as many keys as it says";
    A072 ApfsTree Damage "a tree has as many nodes as it says";
    A073 ApfsTree Damage "a node is not older than the one below it";
    A074 ApfsSeal Damage unseen "a node of a sealed tree has the hash that stands above it";
    A075 ApfsNode Damage "the table of a node with fixed entries has the room for as many as fit";
    A076 ApfsNode Damage "fixed keys and values are aligned";
    A077 ApfsNode Damage "the value of an index entry has the size of a child's number";
    A078 ApfsNode Damage "a key without value occurs in free queues only";
    A079 ApfsUnreadable Damage "a structure can be read at all";
    A080 ApfsObjectMap Damage "an object map has flags that are known, and fit its owner";
    A081 ApfsObjectMap Damage "an object map names the types of its trees";
    A082 ApfsState Info "an object map is not being set back";
    A083 ApfsState Info "an object map is not being encrypted or decrypted";
    A084 ApfsObjectMap Damage "a mapping has no unknown flags";
    A085 ApfsObjectMap Damage "a mapping covers whole blocks";
    A086 ApfsObjectMap Damage "a mapping was written by a transaction that has been";
    A087 ApfsObjectMap Damage "a mapping is not newer than the node it stands in";
    A088 ApfsObjectMap Damage "a mapped object lies in the container";
    A089 ApfsObjectMap Info "a mapped object is one block long";
    A090 ApfsObjectMap Damage "an object map's record of a snapshot is sound";
    A091 ApfsState Info "no snapshot is marked as deleted or set back in the object map";
    A092 ApfsObjectMap Damage "the object map's count of snapshots and the newest of them are those of its tree";
    A093 ApfsUnreadable Damage "every object that is asked for is mapped";
    A094 ApfsUnreadable Damage "an object was written by the transaction its mapping names";
    A095 ApfsObjectMap Warning "every mapping of the container is used, one for each object";
    A096 ApfsObjectMap Warning "every mapping of the volume is used by a view of it";
    A097 ApfsSeal Damage unseen "the nodes of a sealed tree have no header, and the map says so";
    A100 ApfsVolume Damage "a volume superblock begins with APSB";
    A101 ApfsVolume Damage "a volume has the place in the container's list that it says";
    A102 ApfsVolume Info "a volume has no unknown optional features";
    A103 ApfsVolume Damage "a volume has no unknown feature that every reader must know";
    A104 ApfsVolume Warning "a volume has no feature that writers must know";
    A105 ApfsVolume Warning "a volume has no unknown flags, and none that exclude each other";
    A106 ApfsVolume Warning "the role of a volume is known";
    A107 ApfsVolume Damage "a volume names the types of its trees";
    A108 ApfsVolume Warning "a volume has a name";
    A109 ApfsVolume Warning "the history of what changed a volume is in order";
    A110 ApfsVolume Damage "the next object number of a volume is not a reserved one";
    A111 ApfsVolume Warning "the next document number of a volume is not a reserved one";
    A112 ApfsCounts Warning "a volume has as many files as it says";
    A113 ApfsCounts Warning "a volume has as many folders as it says";
    A114 ApfsCounts Warning "a volume has as many symbolic links as it says";
    A115 ApfsCounts Warning "a volume has as many other objects as it says";
    A116 ApfsCounts Warning "a volume has as many snapshots as it says";
    A117 ApfsCounts Warning "a volume uses as many blocks as it says";
    A118 ApfsCounts Warning "a volume has not given back more blocks than it took";
    A119 ApfsVolume Warning "a volume keeps within its quota and reserve";
    A120 ApfsState Info "a volume is not being set back, encrypted or started from a snapshot";
    A121 ApfsVolume Info "the reserved fields of a volume are zero";
    A122 ApfsSeal Damage "a sealed volume has an extent tree and its seal, and no other volume has";
    A123 ApfsVolume Warning "a volume that belongs to a group has the feature, and no other has";
    A124 ApfsVolume Warning "what a volume says of its metadata's keys is of a known version";
    A125 ApfsVolume Warning "a volume ignores case or normal forms of names, not both";
    A127 ApfsVolume Info "the flags of the document index are known";
    A128 ApfsVolume Damage "objects are mapped as encrypted on an encrypted volume, and on no other";
    A130 ApfsRecord Damage "a record has the size of its type";
    A131 ApfsName Damage "a name is UTF-8, ends with a NUL, is not empty and has no slash";
    A132 ApfsName Damage "an entry has the hash of its name";
    A133 ApfsName Damage "the name of an attribute ends with a NUL and is not empty";
    A134 ApfsRecord Damage "an extent begins at a whole block of its file";
    A135 ApfsRecord Damage "the numbers in records were given out";
    A150 ApfsRecord Damage "an inode has the size of one";
    A151 ApfsRecord Damage "the additional fields of a record fit together and into it";
    A152 ApfsRecord Damage "an additional field is known, occurs once and has its size";
    A153 ApfsRecord Warning "what fills up additional fields is zero";
    A154 ApfsRecord Warning "an additional field has no reserved flags, and is not the user's and the system's at once";
    A155 ApfsRecord Warning "an additional field has the flags of its kind";
    A156 ApfsInode Warning "an inode has no unknown flags";
    A157 ApfsInode Warning "an inode does not both have and lack a resource fork";
    A158 ApfsState Info "no file is being cut";
    A159 ApfsInode Warning "where folder statistics begin, they are kept";
    A160 ApfsInode Damage "an inode is of a known kind";
    A161 ApfsEntry Damage "the parent of an inode exists and is a folder";
    A162 ApfsInode Warning "the unused field of an inode is zero";
    A163 ApfsInode Warning "only what was cloned has its contents under another number";
    A164 ApfsEntry Damage "the root and the private folder exist, and of the other reserved numbers none does";
    A165 ApfsLinks Damage "an inode has as many names as it says";
    A166 ApfsEntry Warning "a folder has as many entries as it says";
    A167 ApfsEntry Damage "a folder has one name";
    A168 ApfsEntry Warning "an inode repeats the name of its first entry";
    A169 ApfsEntry Damage "an inode repeats the folder of its first entry";
    A170 ApfsInode Warning "a file is marked sparse when its holes are counted";
    A171 ApfsInode Warning "an inode is marked as having Finder information when it has";
    A172 ApfsInode Warning "what is marked as having a resource fork has one";
    A173 ApfsInode Warning "an inode is marked as having an access list when it has";
    A174 ApfsInode Damage "symbolic links have a target, and nothing else has";
    A175 ApfsInode Warning "devices have a number, and nothing else has";
    A176 ApfsInode Damage "only files have contents";
    A177 ApfsStream Warning "what shares its contents was cloned";
    A178 ApfsStream Warning "the holes of a file are as many bytes as it says";
    A179 ApfsInode Warning "a protection class is known";
    A180 ApfsEntry Damage "an inode has a name";
    A181 ApfsEntry Damage "the object of an entry exists";
    A182 ApfsEntry Damage "an entry tells the kind of its object";
    A183 ApfsEntry Warning "an entry has no unknown flags";
    A184 ApfsInode Warning "numbers of inodes fit the volume's part in its group";
    A185 ApfsLinks Damage "an entry of a hard link and its sibling record say the same";
    A186 ApfsLinks Warning "each sibling record has its map record";
    A187 ApfsLinks Warning "an inode has sibling records for all of its names, or for none";
    A188 ApfsInode Warning "an inode that keeps folder statistics names them";
    A189 ApfsInode Warning unseen "folder statistics belong to a folder";
    A190 ApfsEntry Damage "the root and the private folder have their own names, and nothing else lies beside them";
    A191 ApfsName Warning unseen "what lies in the private folder is named by its number";
    A192 ApfsInode Warning "purgeable flags are marked";
    A193 ApfsInode Warning unseen "a document number was given out";
    A194 ApfsInode Warning "a file is marked as compressed when it has the attribute";
    A195 ApfsInode Info "no size is told of what is not marked so";
    A196 ApfsInode Info "what has a resource fork is marked so";
    A200 ApfsAttribute Warning "an attribute has no unknown flags";
    A201 ApfsAttribute Damage "an attribute's value lies in its record or in a stream, not both";
    A202 ApfsAttribute Damage "the length of an attribute's value is that of its record";
    A203 ApfsAttribute Warning "no value that lies in its record is too long for that";
    A204 ApfsAttribute Damage "the inode of an attribute exists";
    A205 ApfsAttribute Warning "the file system's own attributes are marked so, and no others";
    A206 ApfsAttribute Warning "Finder information has 32 bytes";
    A207 ApfsAttribute Info "an attribute in a stream tells the size of the stream's record";
    A220 ApfsExtent Damage "an extent covers whole blocks and has no unknown flags";
    A221 ApfsExtent Damage "the extents of a stream follow each other from its beginning";
    A222 ApfsExtent Damage "the extents of a stream cover its size";
    A223 ApfsExtent Warning "a stream has as many bytes allocated as its extents cover";
    A224 ApfsStream Warning "a stream has its record, which counts the inodes that share it";
    A225 ApfsExtent Damage "an extent lies in the container";
    A226 ApfsExtent Warning "the stream of an attribute has no holes";
    A227 ApfsExtent Warning "space is kept in advance only where the volume has that feature";
    A228 ApfsExtent Warning "an extent belongs to a known stream";
    A229 ApfsStream Damage "a stream has one size and one kind of owner";
    A230 ApfsCrypto Warning "nothing on a plain volume names a key";
    A231 ApfsCrypto Warning "the state of a key is sound and in use";
    A232 ApfsCrypto Warning "only extents of encrypted volumes name their tweak";
    A233 ApfsStream Warning "the stream of an attribute has one owner";
    A234 ApfsStream Warning "the record of a stream has a stream";
    A235 ApfsExtent Warning unseen "what is kept in advance lies behind the end of the file";
    A240 ApfsReference Damage "a record of used blocks is sound";
    A241 ApfsReference Warning "a record of used blocks has a possible owner";
    A242 ApfsReference Damage "records of used blocks do not overlap";
    A243 ApfsReference Damage "a count changes only of blocks that are recorded as used";
    A244 ApfsReference Damage "blocks are taken only when they are not in use";
    A245 ApfsReference Warning "blocks are referred to as often as is recorded";
    A246 ApfsReference Damage "the blocks of every extent are recorded as used";
    A247 ApfsReference Damage "blocks that were taken are referred to";
    A260 ApfsSnapshot Damage "the record of a snapshot is sound";
    A261 ApfsSnapshot Damage "each snapshot has its name record, and each name record its snapshot";
    A262 ApfsSnapshot Damage "a snapshot stands in the object map";
    A263 ApfsSnapshot Damage "the superblock that a snapshot keeps can be read";
    A264 ApfsSnapshot Warning "the superblock of a snapshot names no maps and trees of its own";
    A266 ApfsSnapshot Damage "a snapshot names the type of its tree of used blocks";
    A267 ApfsState Info "a snapshot is not being merged or emptied";
    A268 ApfsSnapshot Damage "the object map and the list of snapshots have the same snapshots";
    A269 ApfsSnapshot Info "snapshots were made in the order of their transactions";
    A270 ApfsSnapshot Warning "the additional record of a snapshot is sound";
    A272 ApfsSnapshot Info "a snapshot has an inode number";
    A278 ApfsSpace Damage "the tables of the space manager lie in it, behind its head";
    A279 ApfsSpace Warning "the zones of the space manager are possible";
    A280 ApfsSpace Damage "the space manager counts blocks, chunks and lists as the block size asks";
    A281 ApfsSpace Warning "the space manager has no unknown flags";
    A282 ApfsSpace Warning "the space manager tells its size";
    A283 ApfsSpace Damage "the space manager counts the blocks of the container, and of no second device";
    A284 ApfsSpace Warning "the unused fields of the space manager are zero";
    A285 ApfsSpace Damage "the space manager has as many chunks and lists of them as the container needs";
    A286 ApfsSpace Damage "the internal pool has the size that the chunks ask for";
    A287 ApfsSpace Damage "chunk lists and bitmaps lie in the internal pool";
    A288 ApfsSpace Damage unseen "a list of chunk lists has its place and its length";
    A289 ApfsSpace Damage "a list of chunks has its place and its length";
    A290 ApfsSpace Damage "chunks follow each other, and all but the last are full";
    A291 ApfsSpace Damage "a chunk has as many free blocks as it says";
    A292 ApfsSpace Warning "a bitmap is zero behind the end of the container";
    A293 ApfsSpace Warning "a chunk was changed by a transaction that has been";
    A294 ApfsSpace Warning "a list of chunks is as new as the newest of them";
    A295 ApfsSpace Damage "the container has as many free blocks as the space manager says";
    A296 ApfsQueue Warning "there is no queue of a second device";
    A297 ApfsQueue Warning "the unused fields of the free queues are zero";
    A298 ApfsQueue Damage "an entry of a free queue is sound";
    A299 ApfsQueue Damage "an entry of a free queue lies in its part of the container";
    A300 ApfsQueue Damage "a free queue has as many blocks as it says";
    A301 ApfsQueue Warning "a free queue begins with the transaction that it says";
    A302 ApfsQueue Warning "a free queue has no more nodes than it may";
    A303 ApfsQueue Warning "a free queue may have as many nodes as the size of the container asks";
    A304 ApfsSpace Warning "the pool's bitmap is not newer than the checkpoint";
    A305 ApfsSpace Damage "the list of free pool bitmaps leads from its head to its tail";
    A306 ApfsSpace Damage "each block of pool bitmaps is free or in use";
    A307 ApfsSpace Damage "the pool's bitmap says what is in use in it";
    A308 ApfsTwice Damage "no block has two owners";
    A309 ApfsBitmapUnder Damage "no block in use is marked free";
    A318 ApfsBitmapOver Warning "no block is marked as used that nothing uses";
    A319 ApfsSpace Warning "what is reserved is what the volumes reserve";
    A310 ApfsReaper Warning "the reaper has the flags of one";
    A311 ApfsReaper Warning "the reaper's state has the room of its block";
    A312 ApfsReaper Warning "the reaper's next number is above the completed one";
    A313 ApfsReaper Warning "the reaper's lists have both ends and a count, or none of them";
    A314 ApfsState Info "nothing is being deleted by the reaper";
    A315 ApfsReaper Warning "a list of the reaper has the usual room";
    A316 ApfsState Info "the lists of the reaper are empty";
    A317 ApfsReaper Warning "the reaper has as many lists as it says, from the first to the last";
    A320 ApfsKeybag Damage "a keybag can be decrypted";
    A321 ApfsKeybag Warning "a keybag's head is that of one";
    A322 ApfsKeybag Damage "the list of a keybag is sound";
    A323 ApfsKeybag Damage "an entry of a keybag fits into it";
    A324 ApfsKeybag Warning "an entry of a keybag is one that is known";
    A325 ApfsKeybag Warning "a keybag has as many bytes as its entries";
    A326 ApfsKeybag Warning "the rest of a keybag is zero";
    A327 ApfsKeybag Damage "the place of a volume's keybag has its size";
    A328 ApfsKeybag Damage "a wrapped key is unchanged";
    A329 ApfsKeybag Damage "the key of a volume has its length";
    A330 ApfsState Info "the volume could be unlocked";
    A340 ApfsEfi Warning "the driver for firmware has its head";
    A341 ApfsEfi Warning "the driver for firmware lies in the container";
    A342 ApfsEfi Warning "the driver for firmware fits its extents";
    A350 ApfsSeal Damage unseen "the record of the seal is sound";
    A351 ApfsSeal Info unseen "the seal is not broken";
    A352 ApfsSeal Damage unseen "the record of a sealed file's hash is sound";
    A353 ApfsSeal Damage unseen "the contents of a sealed file have their hash";
    A360 ApfsCompression Damage "a compressed file has the head of one";
    A361 ApfsCompression Damage "a compressed file has a resource fork when its kind asks for one";
    A362 ApfsCompression Warning "an inode repeats the size of its compressed file";
    A363 ApfsCompression Damage "the contents of a compressed file have the size that is told";
}

impl Rule {
    /// How bad it is: one grade less where no volume of Apple's confirms the rule.
    pub fn severity(self) -> Severity {
        match (self.full_severity(), self.is_unseen()) {
            (full, false) => full,
            (Severity::Damage, true) => Severity::Warning,
            (_, true) => Severity::Info,
        }
    }

    /// The rule of that number, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
