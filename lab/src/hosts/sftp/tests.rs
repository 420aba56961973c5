use super::*;

/// A request with its number.
fn request(kind: u8, id: u32, body: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(id.to_be_bytes());
    body.iter().for_each(|part| bytes.extend(*part));
    let mut packet = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    packet.extend(bytes);
    packet
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn ask(server: &mut Server, packet: &[u8]) -> Vec<u8> {
    let request = Request::read(&mut &packet[..]).unwrap().unwrap();
    let answer = server.answer(request).unwrap();
    let length = u32::from_be_bytes(answer[..4].try_into().unwrap()) as usize;
    assert_eq!(length, answer.len() - 4);
    answer[4..].to_vec()
}

/// The code of a status.
fn code(answer: &[u8]) -> u32 {
    assert_eq!(answer[0], STATUS);
    u32::from_be_bytes(answer[5..9].try_into().unwrap())
}

#[test]
fn a_file_is_written_read_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("a b");
    let path = text(at.to_str().unwrap());
    let mut server = Server::default();
    let flags = (OPEN_WRITE | OPEN_CREATE | OPEN_TRUNCATE).to_be_bytes();
    let mode = [&4_u32.to_be_bytes()[..], &0o640_u32.to_be_bytes()].concat();
    let opened = ask(&mut server, &request(3, 7, &[&path, &flags, &mode]));
    assert_eq!(
        (opened[0], &opened[1..5]),
        (HANDLE, &7_u32.to_be_bytes()[..])
    );
    let handle = &opened[5..];
    let offset = 3_u64.to_be_bytes();
    let write = request(6, 8, &[handle, &offset, &text("text")]);
    assert_eq!(code(&ask(&mut server, &write)), OK);
    assert_eq!(code(&ask(&mut server, &request(4, 9, &[handle]))), OK);
    assert_eq!(code(&ask(&mut server, &request(4, 9, &[handle]))), FAILURE);
    assert_eq!(fs::read(&at).unwrap(), b"\0\0\0text");
    let flags = OPEN_READ.to_be_bytes();
    let none = 0_u32.to_be_bytes();
    let opened = ask(&mut server, &request(3, 1, &[&path, &flags, &none]));
    let handle = &opened[5..];
    let long = 1000_u32.to_be_bytes();
    let read = ask(&mut server, &request(5, 2, &[handle, &offset, &long]));
    assert_eq!(&read[5..], text("text"));
    let end = 7_u64.to_be_bytes();
    let read = ask(&mut server, &request(5, 2, &[handle, &end, &long]));
    assert_eq!(code(&read), END);
    assert_eq!(code(&ask(&mut server, &request(13, 3, &[&path]))), OK);
    assert_eq!(
        code(&ask(&mut server, &request(17, 4, &[&path]))),
        NO_SUCH_FILE
    );
}

#[test]
fn what_is_not_served_and_what_is_broken_is_told() {
    let mut server = Server::default();
    let init = {
        let mut packet = 5_u32.to_be_bytes().to_vec();
        packet.push(INIT);
        packet.extend(3_u32.to_be_bytes());
        packet
    };
    assert_eq!(
        ask(&mut server, &init),
        [&[IS_VERSION][..], &[0, 0, 0, 3]].concat()
    );
    let extended = request(200, 5, &[&text("statvfs@openssh.com")]);
    assert_eq!(code(&ask(&mut server, &extended)), UNSUPPORTED);
    let half = request(17, 6, &[&[0, 0, 0, 9], b"x"]);
    assert_eq!(code(&ask(&mut server, &half)), FAILURE);
    let huge = u32::MAX.to_be_bytes();
    assert!(Request::read(&mut &huge[..]).is_err());
    assert!(Request::read(&mut &[][..]).unwrap().is_none());
}
