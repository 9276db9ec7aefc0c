//! One request of HTTP and its answer.
//!
//! Deliberately without redirects, proxies, compression, and a second request on the same
//! connection.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use httparse::Status;

use crate::commands::client::connection::{Connection, Deadlined};
use crate::commands::client::server::Server;
use crate::commands::client::{ServerError, connect, in_words};
use crate::commands::url::Url;
use crate::limits::{CLIENT_ANSWER_MAX, CLIENT_BODY_MAX_BYTES, HEAD_MAX_BYTES, HEAD_MAX_FIELDS};
use crate::server::build_info::BUILD;

/// A line before a chunk is a number and little more.
const CHUNK_LINE_MAX_BYTES: usize = 1024;

/// What is done with what the URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// It is read.
    Get,
    /// It is ended.
    Delete,
}

/// Does this with what is at the path, which is one below the base path. Gives what the answer holds.
///
/// # Errors
/// The server's refusal, or why there is no answer.
pub fn ask(server: &Server, method: Method, path: &str) -> Result<Vec<u8>, ServerError> {
    let stream = connect(&server.url)?;
    let until = Instant::now() + CLIENT_ANSWER_MAX;
    let transport = Deadlined { stream, until };
    let mut stream = Connection::over(transport, &server.url.host, server.tls.as_ref())?;
    let token = format!("Authorization: Bearer {}\r\n", server.token.expose());
    let (status, body) = exchange(&mut stream, method, &server.at(path), &token)
        .map_err(|error| io::Error::other(format!("no valid answer: {}", in_words(error))))?;
    if (200..300).contains(&status) { Ok(body) } else { Err(ServerError::refused(status, &body)) }
}

fn exchange(
    stream: &mut (impl Read + Write),
    method: Method,
    url: &Url,
    fields: &str,
) -> io::Result<(u16, Vec<u8>)> {
    write_request(stream, method, url, fields)?;
    let head = read_head(stream)?;
    let mut rest = io::Cursor::new(head.rest).chain(stream);
    Ok((head.status, read_body(&mut rest, head.length)?))
}

/// Writes a request without a body. `fields` are further lines of its head.
///
/// # Errors
/// The connection is gone, or too slow.
pub fn write_request(
    stream: &mut impl Write,
    method: Method,
    url: &Url,
    fields: &str,
) -> io::Result<()> {
    let word = match method {
        Method::Get => "GET",
        Method::Delete => "DELETE",
    };
    let request = format!(
        "{word} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: dispatch/{}\r\nAccept: */*\r\n{fields}\
         Connection: close\r\n\r\n",
        url.target,
        url.authority(),
        BUILD.version
    );
    stream.write_all(request.as_bytes())?;
    stream.flush()
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// The status of HTTP.
    pub status: u16,
    length: Length,
    /// What came behind the head already.
    rest: Vec<u8>,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunked,
    UntilTheEnd,
}

/// Reads until the head is whole.
///
/// # Errors
/// It is no head, or does not come.
pub fn read_head(stream: &mut impl Read) -> io::Result<Head> {
    let mut read = vec![0; HEAD_MAX_BYTES];
    let mut filled = 0;
    while filled < read.len() {
        filled += match stream.read(&mut read[filled..])? {
            0 => return Err(io::Error::other("the connection ended before an answer")),
            count => count,
        };
        if let Some(head) = parse_head(&read[..filled])? {
            return Ok(head);
        }
    }
    Err(io::Error::other("the head of the answer is too long"))
}

fn parse_head(read: &[u8]) -> io::Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; HEAD_MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let no_http = |_| io::Error::other("this is not HTTP; a TLS port is asked by https://");
    let Status::Complete(end) = response.parse(read).map_err(no_http)? else { return Ok(None) };
    let Some(status) = response.code else { return Ok(None) };
    let length = length(status, response.headers)?;
    Ok(Some(Head { status, length, rest: read[end..].to_vec() }))
}

fn length(status: u16, fields: &[httparse::Header<'_>]) -> io::Result<Length> {
    let value = |name: &str| {
        let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok().map(str::trim)
    };
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(Length::Bytes(0));
    }
    let is_chunked =
        value("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
    match value("content-length") {
        _overruled if is_chunked => Ok(Length::Chunked),
        None => Ok(Length::UntilTheEnd),
        Some(bytes) => {
            let bytes = bytes.parse().map_err(|_| io::Error::other("its length is no number"))?;
            Ok(Length::Bytes(bytes))
        }
    }
}

fn read_body(stream: &mut impl Read, length: Length) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    match length {
        Length::Bytes(bytes) => append(stream, bytes, &mut body)?,
        Length::Chunked => read_chunks(stream, &mut body)?,
        Length::UntilTheEnd => {
            stream.take(CLIENT_BODY_MAX_BYTES as u64 + 1).read_to_end(&mut body)?;
            check_length(body.len())?;
        }
    }
    Ok(body)
}

/// Appends exactly so many bytes.
fn append(stream: &mut impl Read, bytes: usize, body: &mut Vec<u8>) -> io::Result<()> {
    check_length(body.len().saturating_add(bytes))?;
    let read = stream.by_ref().take(bytes as u64).read_to_end(body)?;
    if read == bytes { Ok(()) } else { Err(cut_off()) }
}

fn check_length(bytes: usize) -> io::Result<()> {
    match bytes <= CLIENT_BODY_MAX_BYTES {
        true => Ok(()),
        false => Err(io::Error::other("the answer is too long")),
    }
}

/// Our servers send none, but what stands between them and us may.
fn read_chunks(stream: &mut impl Read, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(stream)?;
        let size = match httparse::parse_chunk_size(&line) {
            Ok(Status::Complete((_, size))) => usize::try_from(size).map_err(io::Error::other)?,
            Ok(Status::Partial) | Err(_) => return Err(io::Error::other("a chunk has no size")),
        };
        // What may follow the last one concerns nobody.
        if size == 0 {
            return Ok(());
        }
        append(stream, size, body)?;
        read_line(stream)?;
    }
}

fn read_line(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        if line.len() == CHUNK_LINE_MAX_BYTES {
            return Err(io::Error::other("a chunk has no size"));
        }
        match stream.read_exact(&mut byte) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(cut_off()),
            read => read?,
        }
        line.push(byte[0]);
    }
    Ok(line)
}

fn cut_off() -> io::Error {
    io::Error::other("the connection ended in the middle of the answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(mut bytes: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let head = read_head(&mut bytes)?;
        let mut rest = io::Cursor::new(head.rest).chain(bytes);
        Ok((head.status, read_body(&mut rest, head.length)?))
    }

    fn text(bytes: &str) -> String {
        String::from_utf8(answer(bytes.as_bytes()).unwrap().1).unwrap()
    }

    fn error(bytes: &str) -> String {
        answer(bytes.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_body_ends_where_the_head_says() {
        assert_eq!(text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay"), "ok");
        assert_eq!(text("HTTP/1.1 200 OK\r\n\r\nokay"), "okay");
        assert_eq!(text("HTTP/1.1 204 No Content\r\n\r\n"), "");
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                       2\r\nok\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(text(chunked), "ok0123456789");
    }

    #[test]
    fn an_answer_that_is_none_says_why() {
        assert!(error("SSH-2.0-x\r\n").contains("https://"));
        assert!(error("").contains("ended before"));
        assert!(error("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nokay").contains("middle"));
        assert!(error("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nokay").contains("length"));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(error(&format!("{chunked}2\r\nok")).contains("middle"));
        assert!(error(&format!("{chunked}z\r\nok")).contains("size"));
        assert!(error(&format!("{chunked}ffffffff\r\nok")).contains("too long"));
        let huge = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", u64::MAX);
        assert!(error(&huge).contains("too long"));
    }

    #[test]
    fn a_request_has_the_method_the_target_and_the_fields() {
        let mut written = Vec::new();
        let url = "http://a:3000/b?c=d".parse().unwrap();
        write_request(&mut written, Method::Delete, &url, "X: y\r\n").unwrap();
        let written = String::from_utf8(written).unwrap();
        assert!(written.starts_with("DELETE /b?c=d HTTP/1.1\r\nHost: a:3000\r\n"), "{written}");
        assert!(written.ends_with("\r\nX: y\r\nConnection: close\r\n\r\n"), "{written}");
    }
}
