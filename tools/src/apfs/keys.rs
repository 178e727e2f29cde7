//! Keybags of encrypted volumes.

use super::VolumeEncryption;
use super::core::Core;
use super::crypto::{self, CONTAINER_KEYBAG, VOLUME_KEYBAG, tag};
use super::volume::Volume;

/// The identity of the personal recovery key.
const RECOVERY: [u8; 16] =
    [0xEB, 0xC6, 0xC0, 0x64, 0, 0, 0x11, 0xAA, 0xAA, 0x11, 0, 0x30, 0x65, 0x43, 0xEC, 0xAC];

/// Writes the keybags of volumes that have none yet and, if there was any, the container's anew;
/// returns where the container's lies, 0 if nothing is encrypted.
pub(crate) fn write(
    core: &mut Core,
    volumes: &mut [Volume],
    container: u64,
    uuid: &[u8; 16],
) -> u64 {
    let fresh = volumes.iter().any(|v| v.key.is_some() && v.keybag == 0);
    if !fresh {
        return container;
    }
    let mut entries = Vec::new();
    for volume in volumes.iter_mut().filter(|v| v.key.is_some()) {
        let kek = volume_keybag(core, volume);
        let range = [volume.keybag.to_le_bytes(), 1u64.to_le_bytes()].concat();
        entries.push((volume.uuid, tag::UNLOCK, range));
        let blob = crypto::key_blob(
            &volume.uuid,
            &core.random().to_le_bytes(),
            &crypto::wrap(&kek, &volume.vek),
            None,
        );
        entries.push((volume.uuid, tag::VOLUME_KEY, blob));
    }
    if container != 0 {
        core.free(container, 1);
    }
    let address = core.space.allocate(1);
    let place = (address, core.block_size, core.xid);
    let block = crypto::keybag((CONTAINER_KEYBAG, uuid), &entries, place);
    core.device.write(address, &block);
    address
}

/// Writes a volume's keybag and returns the key that opens its own.
fn volume_keybag(core: &mut Core, volume: &mut Volume) -> [u8; 32] {
    let mut kek = [0; 32];
    kek[..16].copy_from_slice(&core.uuid());
    kek[16..].copy_from_slice(&core.uuid());
    let how = volume.options.encryption.clone().expect("an encrypted volume");
    let mut entries = Vec::new();
    for (i, password) in how.passwords.iter().enumerate() {
        let who = if i == 0 { volume.uuid } else { core.uuid() };
        entries.push(kek_entry(core, who, password, &how, &kek));
        if let Some(hint) = how.hint.as_ref().filter(|_| i == 0) {
            entries.push((who, tag::HINT, hint.clone().into_bytes()));
        }
    }
    if let Some(recovery) = &how.recovery_key {
        entries.push(kek_entry(core, RECOVERY, recovery, &how, &kek));
    }
    if volume.keybag != 0 {
        core.free(volume.keybag, 1);
    }
    volume.keybag = core.space.allocate(1);
    let place = (volume.keybag, core.block_size, core.xid);
    let block = crypto::keybag((VOLUME_KEYBAG, &volume.uuid), &entries, place);
    core.device.write(volume.keybag, &block);
    kek
}

fn kek_entry(
    core: &mut Core,
    who: [u8; 16],
    password: &str,
    how: &VolumeEncryption,
    kek: &[u8; 32],
) -> ([u8; 16], u16, Vec<u8>) {
    let salt = core.uuid();
    let derived = crypto::derive(password, &salt, how.rounds);
    let wrapped = crypto::wrap(&derived, kek);
    let rounds = how.asked.unwrap_or(how.rounds);
    let blob = crypto::key_blob(&who, &core.random().to_le_bytes(), &wrapped, Some((rounds, salt)));
    (who, tag::UNLOCK, blob)
}
