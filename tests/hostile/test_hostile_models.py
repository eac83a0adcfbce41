"""Every model file that is wrong anywhere is refused before a slide is touched, in one line."""

import io
import resource
import zipfile

import numpy as np
import pytest
from tests.hostile.hostile_models import hostile_models
from tests.model_files import archive, good_members, sealed, toy_card, toy_encoder, write_toy

from jecur.cli import OK, USER_ERROR, run
from jecur.errors import BundleError, GroupError, JecurError, NucleiModelError
from jecur.mil.passport import admit_model
from jecur.mil.pooling import Pooling, risk_from_score
from jecur.mil.scoring import RiskScore, TileScorer
from jecur.model import trial
from jecur.model.card import EndpointText
from jecur.model.file import read_bundle
from jecur.nuclei.segmentation import NucleiModel
from jecur.settings import NucleiSettings
from jecur.survival.risk_groups import is_high_risk

HOSTILE = hostile_models()
SLOW_SECONDS = 10
MOST_KIB = 2**20  # 1 GiB


def _seconds() -> float:
    """Of processors, here and in children: other work on the machine does not count."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


@pytest.fixture(scope="module", autouse=True)
def peaks_before() -> dict[int, int]:
    """Largest memory of this process and of its children before any of these models, KiB."""
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return {who: resource.getrusage(who).ru_maxrss for who in both}


def test_there_are_enough_of_them_and_no_two_alike():
    assert len(HOSTILE) >= 80
    assert len(set(HOSTILE.values())) == len(HOSTILE)


def test_the_clean_twin_is_admitted_and_tells_dark_from_bright(tmp_path):
    path = tmp_path / "good.jecur"
    path.write_bytes(sealed(archive(good_members())))
    scorer = TileScorer(admit_model(path))
    levels = np.stack([np.full((224, 224, 4), level, np.uint8) for level in (0, 128, 255)])
    assert scorer.score_tiles(levels) == pytest.approx([-1.28, 0.0, 1.27], abs=1e-5)


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_it_is_refused_in_one_line_before_any_slide(name, tmp_path, capsys):
    path, out = tmp_path / "hostile.jecur", tmp_path / "out"
    path.write_bytes(HOSTILE[name])
    slide = tmp_path / "slide.svs"
    slide.write_bytes(b"never opened")
    start = _seconds()
    code = run(["score", str(slide), "--model", str(path), "--out", str(out), "-j", "1"])
    assert code == USER_ERROR
    assert _seconds() - start < SLOW_SECONDS
    said = capsys.readouterr()
    error = said.err[said.err.index("error:") :]
    assert "hostile.jecur" in error
    assert error.count("\n") == 1
    assert error.rstrip().endswith("]")
    assert all(c.isprintable() or c == "\n" for c in said.err + said.out)
    assert "Traceback" not in said.err
    assert not (out / "scores.csv").exists()
    assert not (out / "slides").exists()


def test_none_of_them_took_a_gibibyte(peaks_before):
    for who, before in peaks_before.items():
        now = resource.getrusage(who).ru_maxrss
        # what other tests of this process took does not count; a child begins as a copy of it
        assert now - before < MOST_KIB or now < MOST_KIB


def test_two_thousand_changed_bytes_are_all_refused(tmp_path):
    path = write_toy(tmp_path / "a.jecur")
    clean = path.read_bytes()
    rng = np.random.default_rng(1)
    places = [*range(80), *rng.integers(0, len(clean), 1920)]
    assert len(places) == 2000
    for place in places:
        changed = bytearray(clean)
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            read_bundle(path)


def test_the_cases_at_hand_are_refused_and_their_clean_twin_is_not(cases, tmp_path, capsys):
    for path in sorted((cases / "hostile" / "models").glob("*.jecur")):
        if path.stem == "00_good":
            admit_model(path)
            continue
        arguments = ["score", "slide.svs", "--model", str(path), "--out", str(tmp_path / path.stem)]
        assert run([*arguments, "-j", "1"]) == USER_ERROR, path.stem
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", [n for n in sorted(HOSTILE) if n.startswith("graph_")][:12])
def test_a_nuclei_network_of_the_settings_is_looked_over_as_well(name, tmp_path):
    body = HOSTILE[name][73:]
    path = tmp_path / "mine.onnx"
    path.write_bytes(zipfile.ZipFile(io.BytesIO(body)).read("encoder.onnx"))
    with pytest.raises(NucleiModelError):
        NucleiModel.load(NucleiSettings(model=str(path)))


def test_markup_in_a_card_is_shown_as_text(tmp_path, capsys):

    text = (
        "[bold]recurrence[/bold] [/] [link=http://a.example]here[/link] <script>alert(1)</script>"
    )
    card = toy_card(endpoint=EndpointText(kind="x", definition=text), name="[red]name")
    path = write_toy(tmp_path / "a.jecur", card=card)
    assert run(["model", "show", str(path)]) == OK
    assert "[bold]recurrence[/bold] [/]" in capsys.readouterr().out


NOT_FINITE = [float("nan"), float("inf"), float("-inf")]


@pytest.mark.parametrize("bad", NOT_FINITE)
def test_no_group_comes_of_a_number_that_is_not_finite(bad):
    with pytest.raises(GroupError):
        is_high_risk(bad, 0.5)
    with pytest.raises(GroupError):
        is_high_risk(0.5, bad)
    with pytest.raises(GroupError):
        is_high_risk(np.array([0.1, bad]), 0.5)
    tiles = np.zeros(2, np.float32)
    for risk, cutoff in ((bad, 0.5), (0.5, bad)):
        with pytest.raises(GroupError):
            RiskScore(risk, cutoff, tiles, np.zeros(2))
    with pytest.raises(JecurError):
        RiskScore(0.5, 0.5, np.array([0.0, bad], np.float32), np.zeros(2))
    with pytest.raises(JecurError):
        risk_from_score(bad)


@pytest.mark.parametrize("bad", [*NOT_FINITE, 0.0, -1.0, 1e9, True, "3", None])
@pytest.mark.parametrize("name", ["exponent", "sharpness", "steepness", "ends"])
def test_a_pooling_checks_its_numbers_when_made(name, bad):
    with pytest.raises(JecurError):
        Pooling("mean", **{name: bad})


def test_scores_of_another_shape_make_no_risk():
    tiles = np.zeros((2, 3), np.float32)
    with pytest.raises(JecurError):
        RiskScore(0.5, 0.5, tiles, np.zeros(2))
    with pytest.raises(JecurError):
        RiskScore(0.5, 0.5, np.zeros(2, np.float32), np.zeros(3))


def test_a_graph_that_passed_is_not_tried_again(tmp_path, monkeypatch):
    path = write_toy(tmp_path / "a.jecur", encoder_onnx=toy_encoder(more=b""))
    admit_model(path)

    def never(*_: object) -> str:
        raise AssertionError("tried again")

    monkeypatch.setattr(trial, "_run_child", never)
    admit_model(path)
