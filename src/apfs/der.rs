//! As much of DER as keybags use: elements of one-byte tags, one within another.

/// An element: its tag, its contents, and all of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// Tag with its class.
    pub tag: u8,
    /// Contents.
    pub value: &'a [u8],
    /// Tag, length and contents.
    pub whole: &'a [u8],
}

/// The first element and what follows it; `None` if it is not whole.
pub fn first(b: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = b.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (len, header) = match short {
        0..=0x7F => (usize::from(short), 2),
        0x81..=0x84 => {
            let n = usize::from(short & 0x7F);
            let bytes = rest.get(..n)?;
            (bytes.iter().fold(0usize, |len, b| len << 8 | usize::from(*b)), 2 + n)
        }
        _ => return None,
    };
    let end = len.checked_add(header)?;
    let element = Element { tag, value: b.get(header..end)?, whole: b.get(..end)? };
    Some((element, b.get(end..)?))
}

/// The element with this tag among those that follow each other in `b`.
pub fn find(b: &[u8], tag: u8) -> Option<Element<'_>> {
    let mut left = b;
    while !left.is_empty() {
        let (element, rest) = first(left)?;
        if element.tag == tag {
            return Some(element);
        }
        left = rest;
    }
    None
}

/// A number of up to eight bytes, most significant first.
pub fn number(b: &[u8]) -> Option<u64> {
    let b = b.strip_prefix(&[0]).unwrap_or(b);
    (b.len() <= 8).then(|| b.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie_are_refused() {
        let b = [0x30, 6, 0x80, 1, 5, 0x81, 1, 7, 0xEE];
        let (seq, rest) = first(&b).unwrap();
        assert_eq!((seq.tag, seq.whole.len(), rest), (0x30, 8, &[0xEE][..]));
        assert_eq!(find(seq.value, 0x81).unwrap().value, [7]);
        assert!(find(seq.value, 0x82).is_none());
        assert!(first(&[0x30, 7, 0, 0]).is_none());
        assert!(first(&[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0]).is_none());
        assert!(first(&[0x30, 0x80]).is_none() && first(&[0x30]).is_none());
        assert_eq!(number(&[1, 0x86, 0xA0]), Some(100_000));
        assert_eq!(number(&[1; 9]), None);
    }
}
