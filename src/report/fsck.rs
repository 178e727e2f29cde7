//! The errors of Apple's `fsck_hfs` (500 to 618) and what stands for each here.
//!
//! Numbers and symbols as in `fsck_messages`/`FsckMsgNums` of Apple's hfs project;
//! the meanings are in our own words (`formats/hfsplus.md`, section 17).

use super::Code;

/// An error number of `fsck_hfs`.
#[derive(Debug, Clone, Copy)]
pub struct FsckError {
    /// Its number without the sign that says whether fsck can repair it.
    pub number: u16,
    /// Its name in Apple's sources, `E_PEOF`.
    pub symbol: &'static str,
    /// What it means, one sentence.
    pub meaning: &'static str,
    /// What stands for it here.
    pub maps: Maps,
}

/// What stands for an error of `fsck_hfs`.
#[derive(Debug, Clone, Copy)]
pub enum Maps {
    /// Findings with one of these codes.
    Codes(&'static [Code]),
    /// Nothing, for this reason.
    Reason(&'static str),
}

impl FsckError {
    /// The error of that number (with or without its sign) or symbol (in any case).
    pub fn find(text: &str) -> Option<&'static Self> {
        let number = text.trim_start_matches('-').parse().ok();
        Self::ALL.iter().find(|e| Some(e.number) == number || e.symbol.eq_ignore_ascii_case(text))
    }
}

macro_rules! errors {
    ($($number:literal $symbol:ident $meaning:literal $($reason:literal)?
        [$($code:ident),*];)*) => {
        impl FsckError {
            /// Every error, by number.
            pub const ALL: &[FsckError] = &[$(FsckError {
                number: $number,
                symbol: stringify!($symbol),
                meaning: $meaning,
                maps: errors!(@maps $($reason)? [$($code),*]),
            },)*];
        }
    };
    (@maps $reason:literal []) => { Maps::Reason($reason) };
    (@maps [$($code:ident),+]) => { Maps::Codes(&[$(Code::$code),+]) };
}

errors! {
    500 E_PEOF "A fork's block count is not the sum of its extents." [ForkBlocks];
    501 E_LEOF "A fork is longer than its blocks." [ForkSize];
    502 E_DirVal "A folder's count of its entries is wrong." [CatalogValence];
    503 E_CName "A name is empty or too long." [CatalogName];
    504 E_NHeight "A B-tree node has the wrong height for its level." [BtreeKind];
    505 E_NoFile "A file's thread record has no file." [CatalogThread];
    506 E_ABlkSz "The allocation block size is impossible." [HeaderField];
    507 E_NABlks "The number of allocation blocks does not fit the device." [HeaderField];
    508 E_VBMSt "The bitmap's first block is wrong."
        "HFS Standard only." [];
    509 E_ABlkSt "The first allocation block is wrong."
        "HFS Standard only." [];
    510 E_ExtEnt "An extent is impossible." [ForkExtent];
    511 E_OvlExt "Two owners claim the same blocks." [ForkOverlap];
    512 E_LenBTH "A B-tree's header record has the wrong length." [BtreeHeader];
    513 E_ShortBTM "A B-tree's node map is too short to write the repaired one."
        "Said by fsck only while it repairs; a map that is too short is HFS-BTREE-MAP." [];
    514 E_BTRoot "A B-tree's root node number is impossible." [BtreeHeader];
    515 E_NType "A B-tree node is of the wrong kind." [BtreeKind];
    516 E_NRecs "A B-tree node's record count is impossible." [BtreeNode];
    517 E_IKey "An index key is not the first key of its child." [BtreeIndexKey];
    518 E_IndxLk "An index record leads to no possible node." [BtreeLink];
    519 E_SibLk "A node's links to its neighbours are wrong." [BtreeLink];
    520 E_BadNode "A B-tree node's structure is broken." [BtreeNode];
    521 E_OvlNode "A B-tree node is reached twice." [BtreeTwice];
    522 E_MapLk "The chain of a B-tree's map nodes is broken." [BtreeMap];
    523 E_KeyLen "A key's length is impossible." [BtreeKeyLength];
    524 E_KeyOrd "Keys are out of order." [BtreeKeyOrder];
    525 E_BadMapN "A B-tree's map node is not sound." [BtreeMap];
    526 E_BadHdrN "Node 0 of a B-tree is no header node." [BtreeHeader];
    527 E_BTDepth "A B-tree is deeper than allowed." [BtreeHeader];
    528 E_CatRec "A catalog record's type is unknown." [CatalogRecord];
    529 E_LenDir "A folder record has the wrong length." [CatalogRecord];
    530 E_LenThd "A thread record has the wrong length." [CatalogRecord];
    531 E_LenFil "A file record has the wrong length." [CatalogRecord];
    532 E_NoRtThd "The root folder has no thread record." [CatalogThread];
    533 E_NoThd "A file or folder has no thread record." [CatalogThread];
    534 E_NoDir "A folder's record is missing." [CatalogThread, CatalogOrphan];
    535 E_ThdKey "A thread record's key has a name." [CatalogThread];
    536 E_ThdCN "The name in a thread record is impossible." [CatalogName];
    537 E_LenCDR "A catalog record's length is impossible." [CatalogRecord];
    538 E_DirLoop "A folder is its own ancestor." [CatalogLoop];
    539 E_RtDirCnt "The count of folders in the root is wrong."
        "HFS Standard only; HFS Plus counts in HFS-CATALOG-VALENCE." [];
    540 E_RtFilCnt "The count of files in the root is wrong."
        "HFS Standard only; HFS Plus counts in HFS-CATALOG-VALENCE." [];
    541 E_DirCnt "The volume's count of folders is wrong." [VolumeCounts];
    542 E_FilCnt "The volume's count of files is wrong." [VolumeCounts];
    543 E_CatPEOF "The catalog's block count is not the sum of its extents." [ForkBlocks];
    544 E_ExtPEOF "The extents file's block count is not the sum of its extents." [ForkBlocks];
    545 E_CatDepth "Folders are nested deeper than recommended." [CatalogDepth];
    546 E_NoFThdFlg "A file is not marked as having a thread." [CatalogFlags];
    547 E_CatalogFlagsNotZero "Flags that must be clear are set." [CatalogFlags];
    548 E_BadFileName "A name is not stored decomposed."
        "Not checked: such a name is read like any other; a Mac may not find it by its name." [];
    549 E_InvalidClumpSize "A special file's clump size is wrong." [HeaderField];
    550 E_InvalidBTreeHeader "A B-tree's header contradicts the tree." [BtreeHeader, BtreeMap];
    551 E_LockedDirName "The root folder's name is locked." [CatalogFlags];
    552 E_EntryNotFound "Extents belong to a file that is not in the catalog." [OverflowOrphan];
    553 E_FreeBlocks "The volume's count of free blocks is wrong." [VolumeCounts];
    554 E_MDBDamaged "The master directory block needs repair."
        "HFS Standard only; of a wrapper only the place of the volume in it is read." [];
    555 E_VolumeHeaderDamaged "The volume header contradicts the volume."
        [HeaderPrimary, HeaderAlternate, HeaderField, VolumeCounts];
    556 E_VBMDamaged "Blocks in use are marked free." [BitmapUnder];
    557 E_InvalidNodeSize "A B-tree's node size is impossible." [BtreeHeader];
    558 E_LeafCnt "A B-tree's count of leaf records is wrong." [BtreeHeader];
    559 E_BadValue "What was expected and what was found."
        "Follows another message; our findings say both in their own sentence." [];
    560 E_InvalidID "A CNID is impossible." [CatalogId];
    561 E_VolumeHeaderTooNew "The volume header's version is not known." [HeaderPrimary];
    562 E_DiskFull "The disk is full."
        "Said by fsck only while it repairs." [];
    563 E_InternalFileOverlap "Special files overlap." [ForkOverlap];
    564 E_InvalidVolumeHeader "The volume header is not usable."
        [HeaderPrimary, HeaderAlternate, HeaderLost];
    565 E_InvalidMDBdrAlBlSt "A wrapper's allocation blocks begin at the wrong place."
        "Not checked: of an HFS Standard wrapper only the place of the volume in it is read." [];
    566 E_InvalidWrapperExtents "A wrapper's own catalog lies at the wrong place."
        "Not checked: of an HFS Standard wrapper only the place of the volume in it is read." [];
    567 E_InvalidLinkCount "A file inode's link count is wrong." [LinkCount];
    568 E_UnlinkedFile "A file was deleted while open." [InodeUnlinked];
    569 E_InvalidPermissions "A file's mode contradicts its record." [CatalogMode];
    570 E_InvalidUID_Unused "An owner's number is wrong."
        "Retired: fsck does not use it, and any number may be an owner." [];
    571 E_IllegalName "A name is '.' or '..'." [CatalogName];
    572 E_IncorrectNumThdRcd "Objects and thread records do not pair up." [CatalogThread];
    573 E_SymlinkCreate "Links to corrupt files cannot be made."
        "Said by fsck only while it repairs." [];
    574 E_BadJournal "The journal is not valid." [JournalBad, JournalExternal];
    575 E_IncorrectAttrCount "Flags and extended attributes do not agree." [AttributeFlags];
    576 E_IncorrectSecurityCount "Flags and access control lists do not agree." [AttributeFlags];
    577 E_PEOAttr "An attribute's block count is not the sum of its extents." [AttributeFork];
    578 E_LEOAttr "An attribute is longer than its blocks." [AttributeFork];
    579 E_AttrRec "A record of the attributes file is impossible." [AttributeRecord];
    580 E_FldCount "A folder's count of the folders in it is wrong." [CatalogFolderCount];
    581 E_HsFldCount "A folder lacks the count of the folders in it." [CatalogFolderCount];
    582 E_BadPermPrivDir "The private folder of linked folders has wrong permissions."
        [PrivateFolder];
    583 E_DirInodeBadFlags "A directory inode has wrong flags." [LinkFlags];
    584 E_DirInodeBadParent "A directory inode lies outside the private folder."
        [InodePlace, LinkOrphan];
    585 E_DirInodeBadName "A directory inode has the wrong name." [InodePlace];
    586 E_DirHardLinkChain "A directory inode's link count is wrong." [LinkCount];
    587 E_DirHardLinkOwnerFlags "A directory link is not immutable." [LinkFlags];
    588 E_DirHardLinkFinderInfo "A directory link has wrong Finder information." [LinkFlags];
    589 E_DirLinkAncestorFlags "A folder above a directory link is not marked." [LinkFlags];
    590 E_BadParentHierarchy "The way from a directory link to the root is broken." [CatalogLoop];
    591 E_DirHardLinkNesting "Folders and directory links are nested without end." [CatalogLoop];
    592 E_MissingPrivDir "There are directory links but no private folder." [PrivateFolder];
    593 E_InvalidLinkChainPrev "A link names the wrong link before it." [LinkChain];
    594 E_InvalidLinkChainNext "A link names the wrong link after it." [LinkChain];
    595 E_FileInodeBadFlags "A file inode has wrong flags." [LinkFlags];
    596 E_FileInodeBadParent "A file inode lies outside the private folder."
        [InodePlace, LinkOrphan];
    597 E_FileInodeBadName "A file inode has the wrong name." [InodePlace];
    598 E_FileHardLinkChain "A file inode's link count is wrong." [LinkCount];
    599 E_FileHardLinkFinderInfo "A chained file link has wrong Finder information." [LinkFlags];
    600 E_InvalidLinkChainFirst "An inode names the wrong first link." [LinkChain];
    601 E_FileLinkBadFlags "A file link has wrong flags." [LinkFlags];
    602 E_DirLinkBadFlags "A directory link has wrong flags." [LinkFlags];
    603 E_OrphanFileLink "A file link's inode does not exist." [LinkOrphan];
    604 E_OrphanDirLink "A directory link's inode does not exist." [LinkOrphan];
    605 E_OrphanFileInode "No link leads to a file inode." [InodeOrphan];
    606 E_OrphanDirInode "No link leads to a directory inode." [InodeOrphan];
    607 E_OvlExtID "Two owners claim the same blocks; the number of one." [ForkOverlap];
    608 E_UnusedNodeNotZeroed "An unused B-tree node is not zero." [BtreeUnused];
    609 E_VBMDamagedOverAlloc "Blocks that nothing uses are marked used." [BitmapOver];
    610 E_BadHardLinkDate "A file link's creation date is wrong." [LinkDate];
    611 E_DirtyJournal "The journal holds unfinished work." [JournalDirty];
    612 E_LinkChainNonLink "An ordinary file is marked as part of a link chain." [LinkFlags];
    613 E_LinkHasData "A link has contents of its own." [LinkFlags];
    614 E_FileLinkCountError "An ordinary file says it has several links." [LinkCount];
    615 E_BTreeSplitNode "A B-tree node straddles two extents." [BtreeSplit];
    616 E_BadSymLink "A symbolic link's mode and Finder type disagree." [SymlinkBad];
    617 E_BadSymLinkLength "A symbolic link's length is wrong." [SymlinkBad];
    618 E_BadSymLinkName "The target of a bad symbolic link."
        "Follows another message; HFS-SYMLINK names the link." [];
}
