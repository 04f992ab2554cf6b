"""A submission is sent once, checked, and its score is kept beside what was predicted of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from kaggle_stand_in import COMPETITION, TOKEN, Kaggle

from cv.errors import FinblendError
from cv.files import read_json, sha256_of
from ensemble import Blend, Project, submit
from ensemble.cli import main
from ensemble.competition.board import scores
from ensemble.competition.submit import _predicted
from ensemble.competition.submit import submit as send
from ensemble.project.submissions import Submission, read_submissions, write_submissions
from ensemble.report.page.pieces import Table
from ensemble.report.sections.provenance import section
from ensemble.report.state import State

NESTED = {"map5": 0.8736, "prediction": [0.8652, 0.8819]}


@pytest.fixture
def predicted(project: Path) -> Path:
    """A tuned project whose blend has a nested score."""
    blend = Blend.load(project / "blend.json")
    replace(blend, measured={**blend.measured, "nested": NESTED}).save(project / "blend.json")
    return project


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert main(["kaggle", *words]) == 0
    found = capsys.readouterr()
    assert TOKEN not in found.out + found.err
    return found.out.splitlines()


def test_a_project_is_sent_and_the_board_stands_beside_the_prediction(
    kaggle: Kaggle, predicted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys, "submit", str(predicted), COMPETITION, "-m", "two networks")
    assert lines[0].startswith(f"{predicted / 'submission.csv'}: 12 photos, all rules kept; ")
    assert lines[1:] == [
        f"sent to {COMPETITION} as submission 1000; 4 more may be sent now",
        "predicted 0.8736 in [0.865, 0.882]; the board says 0.8701",
    ]
    submit(predicted, tmp_path / "by_hand.csv")
    assert list(kaggle.uploads.values()) == [(tmp_path / "by_hand.csv").read_bytes()]
    assert kaggle.submissions[0]["description"] == "two networks"
    (entry,) = read_submissions(predicted)
    assert entry.sha256 == sha256_of(tmp_path / "by_hand.csv")
    assert entry.blend == read_json(predicted / "blend.json")["seal"]
    assert (entry.predicted, entry.interval, entry.public) == (0.8736, [0.8652, 0.8819], 0.87012)
    assert (entry.ref, entry.status, entry.is_inside) == (1000, "complete", True)


def test_of_a_recipe_that_was_changed_by_hand_nothing_was_predicted(kaggle: Kaggle, predicted: Path) -> None:
    path = predicted / "blend.json"
    path.write_text(json.dumps({**read_json(path), "species_penalty": 0.25}))
    entry = send(predicted, COMPETITION, message="m").submission
    assert (entry.blend, entry.predicted, entry.interval, entry.public) == (None, None, None, 0.87012)


def test_of_networks_that_have_seen_all_labels_nothing_is_predicted(predicted: Path) -> None:
    told = _predicted(Project.open(predicted), "full")
    assert (told["predicted"], told["interval"]) == (None, None)
    assert _predicted(Project.open(predicted), "folds")["predicted"] == 0.8736


def test_the_address_of_an_upload_never_sees_the_token(kaggle: Kaggle, predicted: Path) -> None:
    send(predicted, COMPETITION, message="m")
    assert kaggle.count("PUT /upload/") == 1
    assert not any("Authorization" in headers for headers in kaggle.headers("PUT /upload/"))
    assert not any(TOKEN.encode() in path.read_bytes() for path in predicted.rglob("*") if path.is_file())


def test_the_same_answers_are_not_sent_twice_unless_it_is_said(
    kaggle: Kaggle, predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    send(predicted, COMPETITION, message="m")
    lines = printed(capsys, "submit", str(predicted), COMPETITION, "-m", "m")
    assert lines[1:] == [
        f"these answers were sent to {COMPETITION} before, as submission 1000: --again sends them anew",
        "predicted 0.8736 in [0.865, 0.882]; the board says 0.8701",
    ]
    assert len(kaggle.submissions) == 1
    assert "sent to" in printed(capsys, "submit", str(predicted), COMPETITION, "-m", "m", "--again")[1]
    assert [each.ref for each in read_submissions(predicted)] == [1000, 1001]


def test_a_score_that_takes_its_time_is_picked_up_later(
    kaggle: Kaggle, predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle.looks = 3
    lines = printed(capsys, "submit", str(predicted), COMPETITION, "-m", "m", "--wait", "0")
    assert lines[2:] == [
        "predicted 0.8736 in [0.865, 0.882]; the board has no score yet",
        f"later: finblend kaggle scores {predicted}",
    ]
    assert scores(predicted).submissions[0].status == "pending"
    lines = printed(capsys, "scores", str(predicted))
    assert lines[1].split()[:4] == ["submission", "sent", "predicted", "95"]
    assert "0.8736  [0.865, 0.882]      0.8701        -  complete" in lines[2]
    assert read_submissions(predicted)[0].public == 0.87012


def test_private_scores_come_in_later_for_all_pages(kaggle: Kaggle, predicted: Path) -> None:
    for message in ("first", "second", "third"):
        send(predicted, COMPETITION, message=message, again=True)
    for n, entry in enumerate(kaggle.submissions):
        entry["privateScore"] = f"0.8{n}"
    found = scores(predicted).submissions
    assert [(each.message, each.private) for each in found] == [("first", 0.82), ("second", 0.81), ("third", 0.80)]
    assert read_submissions(predicted) == found


def test_a_break_while_waiting_is_waited_out(kaggle: Kaggle, predicted: Path) -> None:
    kaggle.faults["ListSubmissions"] = [(500, "", {}), (429, "", {})]
    assert send(predicted, COMPETITION, message="m").submission.public == 0.87012


def test_an_upload_that_breaks_is_begun_anew(kaggle: Kaggle, predicted: Path) -> None:
    kaggle.faults["PUT"] = [(503, "", {})]
    kaggle.faults["StartSubmissionUpload"] = [(500, "", {})]
    send(predicted, COMPETITION, message="m")
    assert len(kaggle.submissions) == 1
    kaggle.faults["PUT"] = [(503, "", {})] * 3
    with pytest.raises(FinblendError, match="Kaggle is in trouble"):
        send(predicted, COMPETITION, message="m", again=True)
    assert len(kaggle.submissions) == 1


def test_a_submission_whose_answer_got_lost_is_found_and_not_sent_again(kaggle: Kaggle, predicted: Path) -> None:
    kaggle.faults["AfterCreate"] = [(502, "", {})]
    with pytest.raises(FinblendError, match=r"submission\.csv: whether it came is not known: the same command"):
        send(predicted, COMPETITION, message="m")
    assert read_submissions(predicted)[0].status == "sent"
    result = send(predicted, COMPETITION, message="m")
    assert (result.sent, result.submission.ref, result.submission.public) == (False, 1000, 0.87012)
    assert len(kaggle.submissions) == 1


def test_a_submission_without_a_number_is_found_by_its_name_or_not_called_sent(kaggle: Kaggle, predicted: Path) -> None:
    kaggle.faults["AfterCreate"] = [(201, "", {}), (201, "", {})]
    assert send(predicted, COMPETITION, message="m").submission.ref == 1000
    other = (predicted / "submission.csv").rename(predicted / "other.csv")
    with pytest.raises(FinblendError, match=r"no number to other\.csv; whether it came is not known"):
        send(other, COMPETITION, message="m", sample=other, wait=0)


def test_a_submission_that_never_came_is_sent(kaggle: Kaggle, predicted: Path) -> None:
    kaggle.faults["CreateSubmission"] = [(502, "", {})]
    with pytest.raises(FinblendError, match="is not known"):
        send(predicted, COMPETITION, message="m")
    assert send(predicted, COMPETITION, message="m").sent
    assert [each.ref for each in read_submissions(predicted)] == [1000]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "Submission not allowed: Your team has used its daily Submission allowance (5) today",
            f"{COMPETITION}: no submission is left (400: 'Submission not allowed",
        ),
        ("Submission not allowed: the deadline has passed", f"{COMPETITION}: takes no submissions any more (400"),
        ("This competition only accepts notebooks", f"Kaggle refuses this for {COMPETITION} (400: 'This"),
    ],
)
def test_what_the_competition_does_not_take(kaggle: Kaggle, predicted: Path, message: str, told: str) -> None:
    kaggle.faults["CreateSubmission"] = [(400, message, {})]
    with pytest.raises(FinblendError) as refused:
        send(predicted, COMPETITION, message="m")
    assert str(refused.value).startswith(told)
    assert read_submissions(predicted) == []


def test_the_limit_is_seen_before_anything_is_sent(kaggle: Kaggle, predicted: Path) -> None:
    kaggle.allowed = 1
    assert send(predicted, COMPETITION, message="m").left == 0
    with pytest.raises(FinblendError, match=r"no submission is left \(1 were sent today; the next may be sent after"):
        send(predicted, COMPETITION, message="m", again=True)
    assert kaggle.count("StartSubmissionUpload") == 1
    assert [each.ref for each in read_submissions(predicted)] == [1000]


def test_what_the_board_cannot_score_is_told(
    kaggle: Kaggle, predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    send(predicted, COMPETITION, message="m")
    kaggle.submissions[0] |= {"status": "error", "publicScore": "", "errorDescription": "row 3:\nbad"}
    lines = printed(capsys, "submit", str(predicted), COMPETITION, "-m", "m")
    assert lines[2] == "predicted 0.8736 in [0.865, 0.882]; the board could not score it: row 3: bad"


def test_a_file_is_checked_against_its_sample_before_it_is_sent(
    kaggle: Kaggle, predicted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(predicted, tmp_path / "s.csv")
    with pytest.raises(FinblendError, match="name the sample submission with --sample"):
        send(tmp_path / "s.csv", COMPETITION, message="m")
    lines = printed(
        capsys, "submit", str(tmp_path / "s.csv"), COMPETITION, "-m", "m", "--sample", str(tmp_path / "s.csv")
    )
    assert lines[2] == "the board says 0.8701"
    wrong = (tmp_path / "s.csv").read_text().replace(" ", "  ")
    (tmp_path / "wrong.csv").write_text(wrong)
    with pytest.raises(FinblendError, match="names are separated by single spaces"):
        send(tmp_path / "wrong.csv", COMPETITION, message="m", sample=tmp_path / "s.csv")
    assert len(kaggle.submissions) == 1


def test_wrong_words_are_refused_before_anything_is_asked(kaggle: Kaggle, predicted: Path, tmp_path: Path) -> None:
    with pytest.raises(FinblendError, match="wait >= 0 must hold"):
        send(predicted, COMPETITION, message="m", wait=-1)
    with pytest.raises(FinblendError, match="nosuch: no such file"):
        send("nosuch", COMPETITION, message="m")
    for message in ("two\nlines", "no text \udcff"):
        with pytest.raises(FinblendError, match="a message is one line of text"):
            send(predicted, COMPETITION, message=message)
    with pytest.raises(FinblendError, match="it is for a file"):
        send(predicted, COMPETITION, message="m", sample=predicted / "x.csv")
    with pytest.raises(FinblendError, match="is not a finblend project"):
        send(tmp_path, COMPETITION, message="m")
    assert kaggle.asked == []


def test_a_blend_that_was_changed_by_hand_predicts_nothing(kaggle: Kaggle, predicted: Path) -> None:
    value = read_json(predicted / "blend.json")
    (predicted / "blend.json").write_text(json.dumps({**value, "species_penalty": 0.25}))
    result = send(predicted, COMPETITION, message="m")
    assert (result.submission.predicted, result.submission.interval) == (None, None)


def test_the_report_shows_the_board_beside_the_prediction(kaggle: Kaggle, predicted: Path) -> None:
    state = State(Project.open(predicted))
    assert not [piece for piece in section(state).body if getattr(piece, "caption", "") == "What the board said"]
    send(predicted, COMPETITION, message="two networks")
    (table,) = (
        piece for piece in section(state).body if isinstance(piece, Table) and piece.caption == "What the board said"
    )
    assert table.rows[0][1] == "two networks"
    assert table.rows[0][3:] == ["0.8736", "0.8652 to 0.8819", "0.8701", "-"]


def test_submissions_are_read_as_they_were_written_and_damaged_ones_refused(tmp_path: Path) -> None:
    entry = Submission(at="2026-01-01T00:00:00+00:00", competition="c", file="f", sha256="0", message="m")
    write_submissions(tmp_path, [entry])
    assert read_submissions(tmp_path) == [entry]
    changes = ({"status": "x"}, {"at": 1}, {"at": "then"}, {"at": "2026-01-01"}, {"competition": 5})
    numbers = ({"ref": "x"}, {"predicted": "x"}, {"interval": "ab"}, {"interval": [1]})
    changed = [json.dumps([entry.as_dict() | change]) for change in changes + numbers]
    for text in ('[{"at": 1}]', "[1]", '{"a": 1}', "3", "[", *changed):
        (tmp_path / "submissions.json").write_text(text)
        with pytest.raises(FinblendError, match=r"submissions\.json: is not"):
            read_submissions(tmp_path)


def test_a_project_from_which_nothing_was_sent_says_so(
    kaggle: Kaggle, predicted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(capsys, "scores", str(predicted))[0].startswith("nothing was sent yet: finblend kaggle submit")
    assert kaggle.asked == []
