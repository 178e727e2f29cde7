//! Streams that several inodes share, that lie under another number than their inode's, or
//! that belong to attributes: who uses them, against what is recorded.

use super::breaks::Breaks;
use super::tables::{Span, StreamRow, UserRow, points};
use super::views::InTime;
use crate::report::Rule;

/// The extents of a stream against the sizes that an inode or attribute has for it.
pub fn settle(
    breaks: &mut Breaks,
    (stream, inode): (u64, u64),
    (size, allocated): (u64, u64),
    sparse: Option<u64>,
    (end, holes): (u64, u64),
    span: Span,
) {
    if end < size {
        breaks.add(Rule::A222, inode, span, || {
            format!("stream {stream} of inode {inode} has {size} bytes, and extents of {end}")
        });
    }
    if end != allocated {
        breaks.add(Rule::A223, inode, span, || {
            format!("stream {stream} of inode {inode} says that {allocated} bytes are allocated; its extents have {end}")
        });
    }
    if let Some(sparse) = sparse.filter(|s| *s != holes) {
        breaks.add(Rule::A178, inode, span, || {
            format!(
                "inode {inode} says that it has {sparse} bytes of holes, its extents have {holes}"
            )
        });
    }
}

/// Join streams with who uses them, both in order.
pub fn check(streams: &[StreamRow], users: &[UserRow], views: &InTime, breaks: &mut Breaks) {
    let (mut streams, mut users, mut at) = (streams, users, Vec::new());
    loop {
        let next = [streams.first().map(|s| s.stream), users.first().map(|u| u.stream)];
        let Some(id) = next.into_iter().flatten().min() else { break };
        let (these, rest) = streams.split_at(streams.partition_point(|s| s.stream <= id));
        let (whose, others) = users.split_at(users.partition_point(|u| u.stream <= id));
        (streams, users) = (rest, others);
        points(these.iter().map(|s| s.span).chain(whose.iter().map(|u| u.span)), &mut at);
        for (from, until) in at.iter().zip(at.iter().skip(1)) {
            let span = Span { from: *from, until: *until };
            let Some(span) = views.whole_in(span) else { continue };
            let stream = these.iter().find(|s| span.is_in(s.span));
            let whose: Vec<&UserRow> = whose.iter().filter(|u| span.is_in(u.span)).collect();
            match stream {
                Some(stream) => one(stream, &whose, span, breaks),
                None => nowhere(id, &whose, span, breaks),
            }
        }
    }
}

/// Users of a stream that is not there, or that one inode has for itself.
fn nowhere(id: u64, users: &[&UserRow], span: Span, breaks: &mut Breaks) {
    for user in users.iter().filter(|u| u.size > 0) {
        let inode = user.inode;
        let rule = if user.attribute { Rule::A222 } else { Rule::A224 };
        breaks.add(rule, inode, span, || {
            format!("inode {inode} has {} bytes in stream {id}, which is not there, or is another's alone", user.size)
        });
    }
}

fn one(stream: &StreamRow, users: &[&UserRow], span: Span, breaks: &mut Breaks) {
    let id = stream.stream;
    let inodes = users.iter().filter(|u| !u.attribute).count();
    let Some(first) = users.first() else {
        if stream.end > 0 {
            breaks.add(Rule::A228, id, span, || format!("stream {id} has extents, and nobody's"));
        }
        if stream.shared_by.is_some() {
            breaks.add(Rule::A234, id, span, || {
                format!("stream {id} is recorded as shared, and nobody's")
            });
        }
        return;
    };
    if inodes > 0 && inodes < users.len() || inodes == 0 && users.len() > 1 {
        breaks.add(Rule::A229, first.inode, span, || {
            format!(
                "stream {id} is that of an attribute of inode {} and of something else",
                first.inode
            )
        });
    }
    if inodes == 0 && stream.shared_by.is_some_and(|n| n != 1) {
        breaks.add(Rule::A233, first.inode, span, || {
            format!("stream {id} of an attribute of inode {} is recorded as shared", first.inode)
        });
    }
    if inodes > 0 && stream.shared_by.map(u64::from) != Some(crate::io::bytes::to_u64(inodes)) {
        let says = stream.shared_by.map_or("nothing".into(), |n| n.to_string());
        breaks.add(Rule::A224, first.inode, span, || {
            format!("stream {id} of inode {} has a record that says {says}, and {inodes} inodes share it", first.inode)
        });
    }
    if users.iter().any(|u| (u.size, u.allocated) != (first.size, first.allocated)) {
        breaks.add(Rule::A229, first.inode, span, || {
            format!("those who share stream {id} do not tell one length")
        });
    }
    for user in users {
        let sizes = (user.size, user.allocated);
        let sparse = (!user.attribute).then_some(user.sparse);
        settle(breaks, (id, user.inode), sizes, sparse, (stream.end, stream.holes), span);
        if inodes > 1 && !user.attribute && !user.cloned {
            breaks.add(Rule::A177, user.inode, span, || {
                format!("inode {} shares stream {id}, and is not marked as cloned", user.inode)
            });
        }
        if user.attribute && stream.holes > 0 {
            breaks.add(Rule::A226, user.inode, span, || {
                format!("stream {id} of an attribute of inode {} has holes", user.inode)
            });
        }
    }
}
