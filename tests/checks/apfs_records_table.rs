// A rule, and what breaks it.
const TABLE: &[(Rule, How)] = &[
    (Rule::A101, head!(0x24, 4, |_| 7)),
    (Rule::A102, head!(0x28, 8, |f| f | 0x100)),
    (Rule::A104, head!(0x30, 8, |_| 1)),
    (Rule::A105, head!(0x108, 8, |f| f | 0x1000)),
    (Rule::A106, head!(0x3C4, 2, |_| 3)),
    (Rule::A107, head!(0x78, 4, |_| 2)),
    (Rule::A108, head!(0x2C0, 8, |_| 0)),
    (Rule::A109, head!(0x110, 8, |_| 0)),
    (Rule::A111, head!(0x3C0, 4, |_| 2)),
    (Rule::A112, head!(0xB8, 8, |n| n + 1)),
    (Rule::A113, head!(0xC0, 8, |n| n + 1)),
    (Rule::A114, head!(0xC8, 8, |n| n + 1)),
    (Rule::A115, head!(0xD0, 8, |n| n + 1)),
    (Rule::A116, head!(0xD8, 8, |n| n + 1)),
    (Rule::A117, head!(0x58, 8, |n| n + 1)),
    (Rule::A118, head!(0xE8, 8, |_| 1 << 40)),
    (Rule::A119, head!(0x50, 8, |_| 1)),
    (Rule::A121, head!(0x418, 8, |_| 1)),
    (Rule::A122, head!(0x408, 8, |_| 5)),
    (Rule::A123, head!(0x3F0, 8, |_| 5)),
    (Rule::A124, head!(0x60, 2, |_| 4)),
    (Rule::A125, head!(0x38, 8, |_| 9)),
    (Rule::A127, head!(0x428, 4, |_| 0x40)),
    (Rule::A110, head!(0xB0, 8, |_| 9)),
    (Rule::A135, head!(0xB0, 8, |_| 20)),
    (Rule::A131, Records(FS, |r| on(entry(r, "hello.txt"), || r.put_key(14, b"/")))),
    (Rule::A132, Records(FS, |r| on(entry(r, "one block"), || r.put_key(12, b"O")))),
    (Rule::A133, Records(FS, |r| on(attribute(r, "com.example.odd"), || r.put_key(24, b"\0")))),
    (Rule::A134, Records(FS, |r| {
        let is = r.kind() == EXTENT && le(r.block, r.key + 8, 8) > 0;
        on(is, || r.put_key(8, &[1]))
    })),
    (Rule::A151, Records(FS, |r| on(inode(r, "hello.txt"), || r.put(0x5E, 2, 8)))),
    (Rule::A152, Records(FS, |r| on(inode(r, "hello.txt"), || {
        let (head, _) = r.field(0x5C, 8).unwrap();
        r.put(head, 1, 4);
    }))),
    (Rule::A153, Records(FS, |r| on(inode(r, "empty"), || {
        let at = r.field(0x5C, 4).unwrap().1;
        r.put(at + 7, 1, 1);
    }))),
    (Rule::A154, Records(FS, |r| on(inode(r, "empty"), || {
        let head = r.field(0x5C, 4).unwrap().0;
        r.put(head + 1, 1, 0x42);
    }))),
    (Rule::A155, Records(FS, |r| on(inode(r, "empty"), || {
        let head = r.field(0x5C, 4).unwrap().0;
        r.put(head + 1, 1, 1);
    }))),
    (Rule::A156, inode!("hello.txt", 0x30, 8, |f| f | 0x20)),
    (Rule::A157, inode!("hello.txt", 0x30, 8, |f| f | 0xC000)),
    (Rule::A158, inode!("hello.txt", 0x30, 8, |f| f | 0x80)),
    (Rule::A159, inode!("Documents", 0x30, 8, |f| f | 4)),
    (Rule::A160, inode!("hello.txt", 0x50, 2, |m| m & 0xFFF)),
    (Rule::A161, inode!("sub", 0x50, 2, |m| m & 0xFFF | 0x8000)),
    (Rule::A162, inode!("hello.txt", 0x52, 2, |_| 1)),
    (Rule::A163, inode!("hello.txt", 8, 8, |s| s - 1)),
    (Rule::A164, inode!("root", 0, 8, |_| 17)),
    (Rule::A165, inode!("hello.txt", 0x38, 4, |n| n + 1)),
    (Rule::A166, inode!("Documents", 0x38, 4, |n| n + 1)),
    (Rule::A167, Records(FS, |r| on(entry(r, "tty"), || r.put(0, 8, 2)))),
    (Rule::A168, field!("hello.txt", 4, 0, 1, |_| u64::from(b'j'))),
    (Rule::A169, inode!("hello.txt", 0, 8, |_| 3)),
    (Rule::A170, inode!("hello.txt", 0x30, 8, |f| f | 0x200)),
    (Rule::A171, inode!("hello.txt", 0x30, 8, |f| f | 0x100)),
    (Rule::A172, inode!("hello.txt", 0x30, 8, |f| f & !0x8000 | 0x4000)),
    (Rule::A173, inode!("hello.txt", 0x30, 8, |f| f | 0x40)),
    (Rule::A174, inode!("link", 0x50, 2, |m| m & 0xFFF | 0x8000)),
    (Rule::A175, inode!("fifo", 0x50, 2, |m| m & 0xFFF | 0x2000)),
    (Rule::A176, inode!("hello.txt", 0x50, 2, |m| m & 0xFFF | 0x1000)),
    (Rule::A178, field!("sparse", 13, 0, 8, |n| n + 4096)),
    (Rule::A179, inode!("hello.txt", 0x3C, 4, |_| 9)),
    (Rule::A180, Records(FS, |r| on(entry(r, "tty"), || r.put(0, 8, 2)))),
    (Rule::A181, Records(FS, |r| on(entry(r, "tty"), || r.put(0, 8, 15)))),
    (Rule::A182, record!(FS, |r| entry(r, "tty"), 16, 2, |_| 8)),
    (Rule::A183, record!(FS, |r| entry(r, "tty"), 16, 2, |f| f | 0x100)),
    (Rule::A185, record!(FS, |r| r.kind() == LINK, 0, 8, |_| 16)),
    (Rule::A186, record!(FS, |r| r.kind() == MAP, 0, 8, |_| 16)),
    (Rule::A187, record!(FS, |r| entry(r, "name 3"), 0, 8, |_| 16)),
    (Rule::A188, inode!("Documents", 0x30, 8, |f| f | 2)),
    (Rule::A190, record!(FS, |r| entry(r, "tty"), 0, 8, |_| 3)),
    (Rule::A192, inode!("hello.txt", 0x30, 8, |f| f | 0x200_0000)),
    (Rule::A194, inode!("hello.txt", 0x44, 4, |f| f | 0x20)),
    (Rule::A195, inode!("hello.txt", 0x54, 8, |_| 5)),
    (Rule::A196, inode!("resource", 0x30, 8, |f| f & !0x4000)),
    (Rule::A200, record!(FS, |r| attribute(r, "com.example.odd"), 0, 2, |f| f | 0x20)),
    (Rule::A201, record!(FS, |r| attribute(r, "com.example.odd"), 0, 2, |f| f | 3)),
    (Rule::A202, record!(FS, |r| attribute(r, "com.example.odd"), 2, 2, |n| n + 1)),
    (Rule::A205, record!(FS, |r| attribute(r, "com.apple.fs.symlink"), 0, 2, |f| f & !4)),
    (Rule::A207, record!(FS, |r| attribute(r, "com.example.big"), 2, 2, |_| 40)),
    (Rule::A220, record!(FS, |r| r.kind() == EXTENT, 7, 1, |_| 8)),
    (Rule::A221, Records(FS, |r| {
        let is = r.kind() == EXTENT && le(r.block, r.key + 8, 8) == 0;
        on(is, || {
            let len = r.get(0, 4);
            r.put(0, 4, len + 4096);
        })
    })),
    (Rule::A222, field!("hello.txt", 8, 0, 8, |_| 1 << 20)),
    (Rule::A223, field!("hello.txt", 8, 8, 8, |n| n + 4096)),
    (Rule::A224, record!(FS, |r| r.kind() == STREAM, 0, 4, |_| 3)),
    (Rule::A225, record!(FS, |r| r.kind() == EXTENT && r.get(8, 8) != 0, 8, 8, |_| 1 << 40)),
    (Rule::A226, Records(FS, |r| {
        on(r.kind() == EXTENT, || r.put(8, 8, 0))
    })),
    (Rule::A227, record!(FS, |r| r.kind() == EXTENT, 7, 1, |_| 2)),
    (Rule::A228, record!(FS, |r| attribute(r, "com.example.big"), 4, 8, |n| n - 1)),
    (Rule::A229, record!(FS, |r| attribute(r, "com.example.small-stream"), 4, 8, |n| n - 1)),
    (Rule::A230, record!(FS, |r| r.kind() == EXTENT, 16, 8, |_| 4)),
    (Rule::A230, field!("hello.txt", 8, 16, 8, |_| 5)),
    (Rule::A232, record!(FS, |r| r.kind() == EXTENT, 7, 1, |_| 1)),
    (Rule::A240, record!(REFERENCES, |r| r.kind() == REFERENCE, 16, 4, |_| 0)),
    (Rule::A241, record!(REFERENCES, |r| r.kind() == REFERENCE, 8, 8, |_| 3)),
    (Rule::A242, record!(REFERENCES, |r| r.kind() == REFERENCE, 0, 4, |n| n + 1)),
    (Rule::A243, record!(REFERENCES, |r| r.kind() == REFERENCE, 7, 1, |_| 0x20)),
    (Rule::A244, record!(REFERENCES, |r| r.kind() == REFERENCE && r.get(7, 1) == 0x20, 7, 1, |_| 0x10)),
    (Rule::A245, record!(REFERENCES, |r| r.kind() == REFERENCE, 16, 4, |n| n + 1)),
    (Rule::A246, Records(REFERENCES, |r| on(r.kind() == REFERENCE && r.get(0, 4) > 1, || {
        let n = r.get(0, 4);
        r.put(0, 4, n - 1);
    }))),
    (Rule::A247, record!(REFERENCES, |r| r.kind() == REFERENCE, 16, 4, |_| 0xFFFF_FFFF)),
    (Rule::A260, record!(SNAPSHOTS, |r| r.kind() == SNAPSHOT, 0x30, 2, |n| n - 1)),
    (Rule::A261, record!(SNAPSHOTS, |r| r.kind() == NAME, 0, 8, |_| 1)),
    (Rule::A266, record!(SNAPSHOTS, |r| r.kind() == SNAPSHOT, 0x28, 4, |_| 2)),
    (Rule::A267, record!(SNAPSHOTS, |r| r.kind() == SNAPSHOT, 0x2C, 4, |_| 2)),
    (Rule::A272, record!(SNAPSHOTS, |r| r.kind() == SNAPSHOT, 0x20, 8, |_| 0)),
    (Rule::A184, Superblock(|b| {
        b[0x3C4] = 1;
        b[0x28] |= 0x10;
        b[0x3F0] = 5;
    })),
    (Rule::A235, record!(FS, |r| r.kind() == EXTENT, 7, 1, |_| 2)),
    (Rule::A191, Records(FS, |r| {
        on(r.kind() == ENTRY && le(r.block, r.key, 7) == 3, || r.put_key(12, b"1"))
    })),
];
