"""Forms with files, as calls for images and audio send them."""

from heli.providers.multipart import read_form

TYPE = b"multipart/form-data; boundary=X"


def a_form(*parts: tuple[str, str]) -> bytes:
    body = "".join(
        f"--X\r\nContent-Disposition: form-data; {names}\r\n\r\n{text}\r\n" for names, text in parts
    )
    return body.encode() + b"--X--\r\n"


def test_fields_are_texts() -> None:
    assert read_form(a_form(('name="model"', "whisper-1"), ('name="prompt"', "Über\r\nalles")), TYPE) == {
        "model": "whisper-1",
        "prompt": "Über\r\nalles",
    }


def test_of_a_file_its_name_type_and_size_are_kept() -> None:
    body = (
        b"--X\r\nContent-Type: audio/mpeg\r\n"
        b'Content-Disposition: form-data; name="file"; filename="a \\"b\\".mp3"'
        b"\r\n\r\n\x00\xff--Y\r\n\r\n--X--"
    )

    assert read_form(body, b'multipart/form-data; charset=utf-8; boundary="X"') == {
        "file": {"filename": 'a \\"b\\".mp3', "content_type": "audio/mpeg", "bytes": 7}
    }


def test_names_that_come_again_are_lists() -> None:
    assert read_form(a_form(('name="a"', "1"), ('name="a"', "2"), ('name="b[]"', "3")), TYPE) == {
        "a": ["1", "2"],
        "b": ["3"],
    }


def test_a_form_that_was_cut_yields_what_came() -> None:
    body = a_form(('name="model"', "whisper-1"), ('name="prompt"', "Primes"))

    assert read_form(body[: body.index(b"Primes") + 3], TYPE) == {"model": "whisper-1", "prompt": "Pri"}


def test_other_bodies_are_no_form() -> None:
    assert read_form(b"{}", b"application/json") is None
    assert read_form(b"--X", b"multipart/form-data") is None
    assert read_form(b"nothing like it", TYPE) == {}
