import yaml

from fusion_dfd.evaluation import metrics
from fusion_dfd.evaluation.summary import summarise
from fusion_dfd.reports import model_card

FACTS = {
    "train": {"sets": ["ff/c23"], "methods": ["Deepfakes"], "groups": ["ff/1", "ff/2"]},
    "val": {"sets": ["ff/c23"], "methods": ["Deepfakes"], "groups": ["ff/3"]},
    "excluded": ["FaceSwap"],
}


def test_the_header_is_yaml_with_the_measured_values(make):
    summary = summarise(make.table(skill=1.0), bootstrap=20)
    text = model_card.card('fusion: "a"', summary, "test", ["ff c23"], FACTS, [])
    _, header, _ = text.split("---\n", 2)
    (result,) = yaml.safe_load(header)["model-index"][0]["results"]
    block = summary["units"]["video"]["overall"]["metrics"]
    assert {row["name"]: row["value"] for row in result["metrics"]} == {
        f"Video {metrics.METRICS[name].title}": block[name]["value"] for name in model_card.SHOWN
    }
    assert result["dataset"] == {"type": "ff", "name": "ff c23", "split": "test"}


def test_the_text_says_what_is_known_and_warns(make):
    summary = summarise(make.table(skill=1.0), bootstrap=20)
    text = model_card.card("fusion", summary, "test", ["ff c23"], FACTS, ["3 of 40 videos share a person."])
    for words in (
        "**3 of 40 videos share a person.**",
        "ff c23; Deepfakes; 2 groups in train, 1 in val. Left out: FaceSwap.",
        "## Calibration\n\nNone.",
        f"{summary['units']['video']['overall']['metrics']['auc']['value']:.3f}",
    ):
        assert words in text
    assert "does not say" in model_card.card("fusion", summary, "test", ["ff c23"], None, [])


def test_undefined_values_are_not_in_the_header(make):
    summary = summarise([row for row in make.table() if row.label], bootstrap=0)
    text = model_card.card("fusion", summary, "test", ["ff c23"], None, [])
    assert "roc_auc" not in text
    assert "| AUC | undefined |" in text
