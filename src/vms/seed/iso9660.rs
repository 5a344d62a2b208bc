//! Writes a small CD: ISO 9660 with Joliet, whose long names Linux, the BSDs and Windows all read. One flat folder; the same
//! files make the same bytes. Nothing is read here.

use std::iter;

/// Bytes in a sector.
const SECTOR: usize = 2048;
/// Sectors before the first descriptor, which belong to the system that starts from the CD.
const SYSTEM_SECTORS: u32 = 16;
/// Where what follows the three descriptors is: the path tables and folders of both worlds, a sector each.
const PATHS: [u32; 2] = [19, 21];
const FOLDERS: [u32; 2] = [23, 24];
/// Where the first file is.
const FIRST_FILE: u32 = 25;
/// The most files, so that a folder fits into its sector.
pub const FILES_MAX: usize = 8;
/// The longest name, in characters.
pub const NAME_CHARACTERS_MAX: usize = 32;
/// The longest label, in characters: what Joliet has room for.
pub const LABEL_CHARACTERS_MAX: usize = 16;
/// The largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// The two ways in which a CD tells its names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum World {
    /// Eight letters, three letters.
    Plain,
    /// UCS-2, as it was typed.
    Joliet,
}

impl World {
    fn text(self, text: &str) -> Vec<u8> {
        match self {
            Self::Plain => text.bytes().collect(),
            Self::Joliet => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }

    /// A text in a field of fixed size, filled up with blanks.
    fn field(self, text: &str, size: usize) -> Vec<u8> {
        let blank = self.text(" ");
        self.text(text).into_iter().chain(blank.into_iter().cycle()).take(size).collect()
    }
}

/// A CD with this label and these files, which must be few, small and plainly named: see the limits of this module.
///
/// # Panics
/// When a limit is not kept; the names and sizes are the caller's constants.
pub fn write(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    assert!(label.is_ascii() && label.len() <= LABEL_CHARACTERS_MAX, "a label is short and plain");
    assert!(files.len() <= FILES_MAX, "a small CD has few files");
    let mut placed = Vec::new();
    let mut next = FIRST_FILE;
    for (name, bytes) in files {
        assert!(name.is_ascii() && (1..=NAME_CHARACTERS_MAX).contains(&name.len()), "a name is short and plain");
        assert!(bytes.len() <= FILE_BYTES_MAX, "a file is small");
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        placed.push(Placed { name, at: next, size });
        next += size.div_ceil(2048);
    }
    // Folders list their files in order, whatever the order they are given in.
    placed.sort_by_key(|file| file.name);

    let mut image = vec![0; SECTOR * SYSTEM_SECTORS as usize];
    for world in [World::Plain, World::Joliet] {
        append(&mut image, &descriptor(world, label, next));
    }
    append(&mut image, b"\xffCD001\x01");
    for folder in FOLDERS {
        // Once with little numbers first, once with large ones.
        append(&mut image, &[&[1, 0][..], &folder.to_le_bytes(), &1_u16.to_le_bytes(), &[0, 0]].concat());
        append(&mut image, &[&[1, 0][..], &folder.to_be_bytes(), &1_u16.to_be_bytes(), &[0, 0]].concat());
    }
    for (world, at) in [World::Plain, World::Joliet].into_iter().zip(FOLDERS) {
        append(&mut image, &folder(world, at, &placed));
    }
    for (_, bytes) in files {
        append(&mut image, bytes);
    }
    image
}

struct Placed<'a> {
    name: &'a str,
    at: u32,
    size: u32,
}

/// Adds bytes and fills the sector up.
fn append(image: &mut Vec<u8>, bytes: &[u8]) {
    image.extend_from_slice(bytes);
    image.resize(image.len().next_multiple_of(SECTOR), 0);
}

/// A number twice, little end first and big end first.
fn both32(number: u32) -> Vec<u8> {
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}

fn both16(number: u16) -> Vec<u8> {
    [number.to_le_bytes(), number.to_be_bytes()].concat()
}

/// An entry of a folder: always of the first day of 1970, so that the same files make the same CD.
fn entry(name: &[u8], at: u32, size: u32, is_folder: bool) -> Vec<u8> {
    let mut entry = vec![0, 0];
    entry.extend(both32(at));
    entry.extend(both32(size));
    entry.extend([70, 1, 1, 0, 0, 0, 0]);
    entry.extend([if is_folder { 2 } else { 0 }, 0, 0]);
    entry.extend(both16(1));
    entry.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    entry.extend(name);
    if entry.len() % 2 == 1 {
        entry.push(0);
    }
    entry[0] = u8::try_from(entry.len()).unwrap_or(u8::MAX);
    entry
}

fn folder(world: World, at: u32, files: &[Placed<'_>]) -> Vec<u8> {
    let mut bytes = [entry(&[0], at, 2048, true), entry(&[1], at, 2048, true)].concat();
    for (number, file) in files.iter().enumerate() {
        let name = match world {
            World::Plain => World::Plain.text(&format!("FILE{number}.;1")),
            World::Joliet => World::Joliet.text(file.name),
        };
        bytes.extend(entry(&name, file.at, file.size, false));
    }
    bytes
}

fn descriptor(world: World, label: &str, sectors: u32) -> Vec<u8> {
    let place = usize::from(world == World::Joliet);
    let mut bytes = vec![if world == World::Plain { 1 } else { 2 }];
    bytes.extend(b"CD001\x01\0");
    bytes.extend(world.field("LINUX", 32));
    bytes.extend(world.field(label, 32));
    bytes.extend([0; 8]);
    bytes.extend(both32(sectors));
    // The escape sequence says that names are UCS-2, level 3.
    let escape: &[u8] = if world == World::Joliet { b"%/E" } else { b"" };
    bytes.extend(escape.iter().copied().chain(iter::repeat(0)).take(32));
    bytes.extend(both16(1));
    bytes.extend(both16(1));
    bytes.extend(both16(2048));
    bytes.extend(both32(10));
    bytes.extend(PATHS[place].to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend((PATHS[place] + 1).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(entry(&[0], FOLDERS[place], 2048, true));
    // Whose it is and who made it: nobody says.
    bytes.extend(world.field("", 128 * 4 + 37 * 3));
    for _ in 0..4 {
        // No time.
        bytes.extend(b"0000000000000000\0");
    }
    bytes.push(1);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(image: &[u8], at: usize) -> usize {
        let little = u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
        let big = u32::from_be_bytes(image[at + 4..at + 8].try_into().unwrap());
        assert_eq!(little, big, "both ways say the same");
        little as usize
    }

    fn entries(image: &[u8], folder: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut at = folder * SECTOR;
        let mut found = Vec::new();
        while image[at] != 0 {
            let (place, size) = (number(image, at + 2), number(image, at + 10));
            let name = &image[at + 33..at + 33 + usize::from(image[at + 32])];
            found.push((name.to_vec(), image[place * SECTOR..place * SECTOR + size].to_vec()));
            at += usize::from(image[at]);
        }
        found.split_off(2)
    }

    const FILES: [(&str, &[u8]); 3] = [("user-data", b"#!/bin/sh\n"), ("meta-data", &[7; 5000]), ("empty", b"")];

    #[test]
    fn both_worlds_list_the_files_in_order_with_their_bytes() {
        let image = write("cidata", &FILES);

        assert_eq!(image.len() % SECTOR, 0);
        assert_eq!(number(&image, 16 * SECTOR + 80) * SECTOR, image.len(), "it says how large it is");
        let joliet: Vec<_> = entries(&image, number(&image, 17 * SECTOR + 158))
            .into_iter()
            .map(|(name, bytes)| {
                let name: Vec<u16> = name.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
                (String::from_utf16(&name).unwrap(), bytes)
            })
            .collect();
        let names: Vec<_> = joliet.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["empty", "meta-data", "user-data"]);
        assert_eq!(joliet[1].1, [7; 5000]);
        assert_eq!(joliet[2].1, b"#!/bin/sh\n");
        let plain = entries(&image, number(&image, 16 * SECTOR + 158));
        assert_eq!(plain[2], (b"FILE2.;1".to_vec(), b"#!/bin/sh\n".to_vec()));
    }

    #[test]
    fn the_descriptors_say_what_it_is() {
        let image = write("cidata", &FILES);

        assert_eq!(&image[16 * SECTOR..16 * SECTOR + 7], b"\x01CD001\x01");
        assert_eq!(&image[16 * SECTOR + 40..16 * SECTOR + 48], b"cidata  ");
        assert_eq!(&image[17 * SECTOR..17 * SECTOR + 7], b"\x02CD001\x01");
        assert_eq!(&image[17 * SECTOR + 40..17 * SECTOR + 46], b"\0c\0i\0d");
        assert_eq!(&image[17 * SECTOR + 88..17 * SECTOR + 91], b"%/E");
        assert_eq!(&image[18 * SECTOR..18 * SECTOR + 7], b"\xffCD001\x01");
        for descriptor in [16, 17] {
            let at = descriptor * SECTOR;
            assert_eq!(
                image[at + 881],
                1,
                "the version stands where it belongs: nothing before it is too long or short"
            );
            assert_eq!(image[at + 156], 34, "and so does the entry of the folder");
        }
    }

    #[test]
    fn the_same_files_make_the_same_cd() {
        assert_eq!(write("cidata", &FILES), write("cidata", &FILES));
    }
}
