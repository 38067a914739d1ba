import pytest
from matplotlib.image import imsave

from vnet_jax.reports import demo_page
from vnet_jax.scores.folder import summarise


def case(name, kidney, tumour):
    scores = {
        stage: dict(
            kidney=kidney - less,
            tumour=tumour - less,
            mean=(kidney + tumour) / 2 - less,
            kidney_alone=0.9,
        )
        for stage, less in (("phase1", 0.2), ("stage1", 0.1), ("phase2", 0.0))
    }
    volumes = dict(kidney=300.0, tumour=20.0, true_kidney=310.0, true_tumour=25.5)
    return {"id": name, **scores, "coverage": 1.0, "volumes_ml": volumes}


@pytest.fixture
def scores():
    cases = [case(f"case_{i}", 0.9 + 0.01 * i, 0.5 + 0.1 * i) for i in range(4)]
    return {"cases": cases, "summary": summarise(cases, seed=0)}


@pytest.fixture
def png(tmp_path):
    imsave(tmp_path / "some.png", [[0.0, 1.0]])
    return tmp_path / "some.png"


def write(path, scores, png, pictures):
    demo_page.write(
        path,
        scores,
        {"Phase 1": png, "Phase 2": png},
        {name: png for name in pictures},
        timings_s={"Training": 135.0, "Inference": 7.25},
        hardware={"Processor": "<fast>"},
        versions={"jax": "0.10.2"},
        distribution=png,
        settings={"Held out": "4"},
        all_cases="predictions/report.html",
    )
    return path.read_text(encoding="utf-8")


def test_says_what_it_must(tmp_path, scores, png, checked):
    text = write(tmp_path / "report.html", scores, png, [f"case_{i}" for i in range(4)])
    page = checked(text)
    assert ("a", {"href": "predictions/report.html"}) in page.attributes
    said = " ".join("".join(page.text).split())
    for words in (
        "trained on synthetic CTs alone",
        "no medical device",
        "0.915",  # kidney of phase 2: the mean of 0.90 to 0.93
        "phase 1: 0.715",
        "phase 2, stage 2",
        "2 min 22 s",  # all together
        "<fast>",
        "0.10.2",
    ):
        assert words in said, words
    captions = [line for line in page.text if "Dice kidney" in line]
    assert captions[0].startswith("The best: case_3")
    assert captions[1].startswith("The worst: case_0")
    assert "2 cases in between" in said
    assert page.tags.count("img") == 1 + 4 + 2


@pytest.mark.parametrize("pictures", [[], ["case_1"], ["case_1", "case_2"]])
def test_fewer_pictures(tmp_path, scores, png, checked, pictures):
    page = checked(write(tmp_path / "report.html", scores, png, pictures))
    assert page.tags.count("img") == 3 + len(pictures)
    assert "details" not in page.tags


def test_headline_is_what_the_demo_promises(scores):
    assert demo_page.headline(scores["summary"]) == {
        "phase1": {
            "kidney": pytest.approx(0.715),
            "tumour": pytest.approx(0.45),
            "coverage": 1.0,
        },
        "phase2": {"kidney": pytest.approx(0.915), "tumour": pytest.approx(0.65)},
    }


def test_headline_needs_the_stages(scores):
    del scores["summary"]["phase1"]
    with pytest.raises(KeyError):
        demo_page.headline(scores["summary"])
