"""Whatever Kaggle or the network refuses is one line that says what to do, and the token is in none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from kaggle_stand_in import COMPETITION, TOKEN, Kaggle, _Handler

from cv.errors import FinblendError
from ensemble.cli import main
from ensemble.competition.client import connected
from ensemble.competition.credentials import Credentials
from ensemble.competition.download import download
from ensemble.competition.refusals import told as telling

RULES = "You must accept this competition's rules before you'll be able to download files."


def line(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of a command that is refused."""
    assert main(["kaggle", *words]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    (only,) = found.err.splitlines()
    assert TOKEN not in only
    return only.removeprefix("finblend: ")


@pytest.mark.parametrize(
    ("status", "message", "told"),
    [
        (401, f"Unauthenticated: {TOKEN}", "Kaggle refuses the token (401: 'Unauthenticated: ***'): it is wrong or"),
        (403, RULES, f"Kaggle refuses {COMPETITION} (403: '{RULES}'): accept its rules first, on the competition's"),
        (403, "Permission 'competitions.participate' was denied", "and see whether its name is written so"),
        (404, "NotFound", f"Kaggle knows no competition {COMPETITION} (404: 'NotFound')"),
        (429, "Too many requests", "Kaggle asks to wait, there were too many requests (429: 'Too many requests'); try"),
        (500, "Internal error", "Kaggle is in trouble (500: 'Internal error'); try again later"),
        (400, "Something else", f"Kaggle refuses this for {COMPETITION} (400: 'Something else')"),
    ],
)
def test_a_download_that_is_refused(
    kaggle: Kaggle, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, message: str, told: str
) -> None:
    kaggle.faults["DownloadDataFiles"] = [(status, message, {})] * 9
    assert told in line(capsys, "download", COMPETITION, str(tmp_path / "data"))
    # what may pass is asked for again, what is refused is not
    assert kaggle.count("DownloadDataFiles") == (4 if status in {429, 500} else 1)


def test_too_many_requests_say_how_long_to_wait(
    kaggle: Kaggle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle.faults["DownloadDataFiles"] = [(429, "slow down", {"Retry-After": "30"})] * 9
    assert line(capsys, "download", COMPETITION, str(tmp_path)).endswith("try again in 30 seconds")


def test_trouble_that_passes_is_no_trouble(kaggle: Kaggle, tmp_path: Path) -> None:
    kaggle.files[f"{COMPETITION}.zip"] = b"content"
    kaggle.faults["DownloadDataFiles"] = [(503, "", {}), (429, "", {})]
    kaggle.faults["GET"] = [(502, "", {})]
    assert main(["kaggle", "download", COMPETITION, str(tmp_path)]) == 0


def test_a_file_or_a_competition_that_is_not_there(
    kaggle: Kaggle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = line(capsys, "download", COMPETITION, str(tmp_path), "--file", "trian.csv")
    assert told.startswith(f"Kaggle knows no file trian.csv in {COMPETITION}, or no such competition (404")
    assert "no competition whales" in line(capsys, "download", "whales", str(tmp_path))
    assert "is no competition's name" in line(capsys, "download", "a b", str(tmp_path))
    # the address of its page is as good as its name
    for page in (
        f"competitions/{COMPETITION}/",
        f"competitions/{COMPETITION}/data?select=train.csv",
        f"c/{COMPETITION}",
    ):
        with connected(f"https://somewhere/{page}") as connection:
            assert connection.competition == COMPETITION


def test_no_network(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kagglesdk import kaggle_env

    # port 9 is `discard`: nobody listens
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.TEST, "http://127.0.0.1:9")
    monkeypatch.setattr("ensemble.competition.transfer.TRIES", 1)
    told = line(capsys, "download", COMPETITION, str(tmp_path))
    assert told == ("no connection to Kaggle; is there a network here? a notebook without internet cannot ask it")


def test_a_server_that_is_silent(kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kaggle.files[f"{COMPETITION}.zip"], kaggle.stalls_at = b"x" * 10, 0
    monkeypatch.setattr("ensemble.competition.client.PATIENCE", 0.1)
    monkeypatch.setattr("ensemble.competition.transfer.TRIES", 1)
    with pytest.raises(FinblendError, match=r"no connection to Kaggle|Kaggle does not answer"):
        download(COMPETITION, tmp_path)


@pytest.mark.parametrize("step", ["DownloadDataFiles", "GET"])
def test_a_page_that_stands_in_the_way_is_no_file(
    kaggle: Kaggle, tmp_path: Path, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    kaggle.faults[step] = [(200, "<html>please log in</html>", {})] * 9
    assert line(capsys, "download", COMPETITION, str(tmp_path / "data")).startswith("what answered is not Kaggle")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("answer", ["5", "null", '{"code": "500"}', '{"submissions": [{"status": "weird"}]}'])
def test_an_answer_that_the_client_does_not_understand(
    kaggle: Kaggle, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(_Handler, "ListSubmissions", lambda self, body: self._answer(json.loads(answer)))
    with connected(COMPETITION) as connection, pytest.raises(FinblendError, match="does not understand what answered"):
        connection.ask("list_submissions", "ApiListSubmissionsRequest")


def test_a_page_that_stands_in_the_way_is_not_kaggle(kaggle: Kaggle) -> None:
    kaggle.faults["GetSubmissionLimits"] = [(200, "<html>please log in</html>", {})]
    with connected(COMPETITION) as connection, pytest.raises(FinblendError, match="what answered is not Kaggle"):
        connection.ask("get_submission_limits", "ApiGetSubmissionLimitsRequest")


def test_without_the_extra_the_line_that_installs_it_is_told(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "kagglesdk", None)
    told = line(capsys, "download", COMPETITION, str(tmp_path))
    assert told == "kagglesdk is needed here and is not installed; pip install 'finblend[kaggle]'"


def test_no_token_and_how_to_get_one(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    told = line(capsys, "download", COMPETITION, str(tmp_path))
    assert told == (
        "there is no Kaggle token here: on kaggle.com under Settings, API, make a token, then save it as "
        "~/.kaggle/access_token or set KAGGLE_API_TOKEN to it"
    )
    assert kaggle.asked == []


def test_the_token_is_found_where_kaggles_client_finds_it(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle.files[f"{COMPETITION}.zip"] = b"content"
    home = tmp_path / "home" / ".kaggle"
    home.mkdir()
    places = {
        "access_token": f"{TOKEN}\n",
        "kaggle.json": json.dumps({"username": "ada", "key": TOKEN}),
        "credentials.json": json.dumps(
            {"refresh_token": "r", "access_token": TOKEN, "access_token_expiration": "2999-01-01T00:00:00+00:00"}
        ),
    }
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    for name, text in places.items():
        (home / name).write_text(text)
        assert main(["kaggle", "download", COMPETITION, str(tmp_path / "data")]) == 0, name
        (home / name).unlink()
    assert [headers["Authorization"].split()[0] for headers in kaggle.headers("DownloadDataFiles")] == [
        "Bearer",
        "Basic",
        "Bearer",
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"username": "ada"}'])
def test_a_damaged_token_file_is_named_and_not_shown(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    path = tmp_path / "home" / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(text)
    assert line(capsys, "download", COMPETITION, str(tmp_path)).startswith(f"{path}: is not Kaggle's token file")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("access_token", b"\xff\xfe"),
        ("credentials.json", b"[]"),
        ("credentials.json", b'{"refresh_token": "r", "access_token_expiration": "2999-01-01"}'),
        ("", b"a" * 5000),
    ],
)
def test_a_token_that_cannot_be_read_is_not_shown(
    kaggle: Kaggle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes,
) -> None:
    # the client takes a token for a file's name first, and some are too long for one
    monkeypatch.setenv("KAGGLE_API_TOKEN", "" if name else content.decode())
    (tmp_path / "home" / ".kaggle").mkdir()
    (tmp_path / "home" / ".kaggle" / (name or "none")).write_bytes(content)
    told = line(capsys, "download", COMPETITION, str(tmp_path))
    assert told.startswith("the Kaggle token that is set here cannot be read; on kaggle.com")


def test_a_certificate_that_is_not_trusted_is_no_missing_network() -> None:
    import requests

    with pytest.raises(FinblendError, match="no certificate that is trusted here"), telling(COMPETITION, Credentials()):
        raise requests.exceptions.SSLError("self-signed")


def test_a_token_with_a_line_break_inside_is_refused_and_not_shown(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", f"abc\n{TOKEN}")
    told = line(capsys, "download", COMPETITION, str(tmp_path))
    assert told.startswith("the Kaggle token that is set here holds characters that no token has")
    assert TOKEN not in repr(Credentials(token=TOKEN, username="ada", key=TOKEN))


def test_an_environment_that_kaggles_client_does_not_know(
    kaggle: Kaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "MOON")
    assert line(capsys, "download", COMPETITION, str(tmp_path)).startswith("KAGGLE_API_ENVIRONMENT is MOON, which")
