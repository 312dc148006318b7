"""The sentences of a page: what was found, how certain it is, and what it does not mean."""

from __future__ import annotations

import math

import numpy as np

from fusion_dfd.evaluation import face_regions
from fusion_dfd.explain.evidence import Effect, Evidence, Pace
from fusion_dfd.predict.verdict import Face, Verdict, VerdictRules

BRANCHES = {"spatial": "what single frames show", "temporal": "changes over time", "micro": "fine motion of the face"}
SAID = {"fake": "Looks fake", "real": "No forgery found", "uncertain": "No verdict", "none": "Could not be scored"}
"""Also the words of the page in the browser, serve/static/app.js."""
SLIGHT = 0.05
"""Changes of a probability below this are not mentioned."""
RARE = 0.05
"""Share of real windows below which a motion is called unusual."""


def headline(verdict: Verdict) -> str:
    if verdict.verdict == "none":
        return SAID["none"]
    if verdict.verdict == "uncertain":
        return f"{SAID['uncertain']} (probability of being fake {number(verdict.probability)}, not usable)"
    return f"{SAID[verdict.verdict]}: probability of being fake {number(verdict.probability)}"


def burnt_in(verdict: Verdict) -> str:
    """ASCII, for the video."""
    return f"{SAID[verdict.verdict]}, P(fake) {number(verdict.probability)}"


def branch(name: str) -> str:
    return f"{BRANCHES[name]} ({name})"


def known(verdict: Verdict) -> list[str]:
    """What is certain about a video, beside what was seen in it."""
    kept, out = verdict.record, []
    if kept.file.sha256:
        out.append(f"The file has the SHA-256 {kept.file.sha256}: another file with this digest has the same content.")
    if (alarms := kept.threshold.false_alarms) is not None and verdict.faces:
        low, high = kept.threshold.false_alarm_interval
        out.append(
            f"On the {kept.threshold.real_videos} real videos that its threshold was chosen on, this detector raised "
            f"{alarms} false alarms; with so many videos, the true rate there may lie between {low:.1%} and {high:.1%}."
        )
    return out


def unknown(verdict: Verdict) -> list[str]:
    """What nobody can tell from the verdict."""
    out = []
    if verdict.faces:
        out += [_not(verdict.verdict), *UNKNOWN_ODDS]
        alarms = verdict.record.threshold.false_alarms
        out.append(UNKNOWN_ALARMS if alarms is None else OTHER_ALARMS)
        looked = len({index for _, first, last in verdict.record.windows for index in range(first, last + 1)})
        if looked < (frames := verdict.record.file.frames):
            out.append(f"What happens in the frames that were not looked at: {looked} of {frames} were.")
    return [*out, *ALWAYS_UNKNOWN]


UNKNOWN_ODDS = (
    "How likely it is that this very video is forged. The probability is that of many videos like those of the "
    "detector's data; it also depends on where the video comes from, which no detector sees.",
    "Whether it was forged in a way that this detector has never seen.",
)
UNKNOWN_ALARMS = "How often this detector calls real videos fake: that was not recorded."
OTHER_ALARMS = (
    "How often it calls real videos fake that are unlike those: cameras, compression and light differ, and there are "
    "more false alarms."
)
ALWAYS_UNKNOWN = (
    "Whether the sound is genuine: it was not listened to.",
    "Whether what the video shows or says is true, who made it, when, and where.",
)
CHECKS = (
    "Where the file comes from. Look for the first publication and the best copy: every upload and every messenger "
    "removes traces and adds its own.",
    "Whether there is an older or longer recording: search for single frames with an image search.",
    "What the people shown say, and who published it.",
    "What can be seen and heard: light and shadows, reflections, the edge of the face, lips beside the sound, other "
    "recordings of the same event.",
    "What a second, independent method says: a detector trained on other data, or a forensic expert.",
    "Never accuse anyone on the strength of a score alone.",
)
"""What else to check, of any video."""
CREDENTIALS = {
    "valid": "The file has them, and is what was signed. Who signed is a name in a certificate; whether it is true was "
    "not checked.",
    "invalid": "The file has them, but they do not fit: the file or the statement was changed after signing. What they "
    "state means nothing.",
    "absent": "The file has none. This proves nothing: most files have none, and every upload can remove them.",
    "unreadable": "None can be read from this file. This proves nothing: many kinds of files cannot carry them.",
    None: "They were not looked for: this needs the extra c2pa, and a file that is not a folder of frames.",
}
"""By the state of a file's Content Credentials."""


def summary(verdict: Verdict, evidence: Evidence, rules: VerdictRules) -> list[str]:
    """The paragraph on top, sentence by sentence."""
    face = evidence.face
    out = [_looked(verdict, face), _called(face, verdict.threshold, rules), *_others(verdict, face)]
    if face.reason:
        out.append(f"Why nothing firmer is said: {face.reason}.")
    out += filter(
        None, [_when(face), _alone(face), leaning(evidence.regions, evidence.baseline), moving(evidence.pace)]
    )
    return out


def _looked(verdict: Verdict, face: Face) -> str:
    others = len(verdict.faces) - 1
    crowd = (
        f" {others} more {'person is' if others == 1 else 'people are'} in the picture, judged apart." if others else ""
    )
    which = f"face {face.track}" if others else "one face"
    return (
        f"The detector followed {which}, about {face.side:.0f} pixels wide, through {face.frames} frames and looked at "
        f"it in {face.windows} {'window' if face.windows == 1 else 'windows'}.{crowd}"
    )


def _others(verdict: Verdict, face: Face) -> list[str]:
    """One sentence for each other person who looks forged."""
    return [
        f"Face {other.track}, which does not speak for the video, looks forged too ({number(other.probability)})."
        if face.verdict == "fake"
        else f"Face {other.track} does not speak for the video, but looks forged ({number(other.probability)})."
        for other in verdict.faces
        if other is not face and other.verdict == "fake"
    ]


def _called(face: Face, threshold: float, rules: VerdictRules) -> str:
    calibrated = rules.calibration is not None and not rules.calibration.few
    kind = "a calibrated probability" if calibrated else "an uncalibrated probability"
    share = number(face.probability)
    if face.verdict == "uncertain":
        return f"It gives no verdict; {kind} of {share} is what it would go by."
    side = "above" if face.verdict == "fake" else "not above"
    called = "calls the face forged" if face.verdict == "fake" else "finds no sign of the forgeries it knows"
    return f"It {called}: {kind} of {share}, {side} the threshold of {number(threshold)}."


def _when(face: Face) -> str | None:
    known = [(second, value) for second, value in face.timeline if not math.isnan(value)]
    if len(known) < 2:
        return None
    (low, least), (high, most) = (pick(known, key=lambda entry: entry[1]) for pick in (min, max))
    if most - least < 0.1:
        span = " to ".join(dict.fromkeys((number(least), number(most))))
        return f"This opinion is much the same throughout: {span} by second."
    return f"Second {high} looks most forged ({number(most)}), second {low} least ({number(least)})."


def _alone(face: Face) -> str | None:
    if len(face.branches) < 2:
        return None
    parts = [f"{branch(name)} {number(value)}" for name, value in face.branches.items()]
    sides = {value > 0.5 for value in face.branches.values()}
    agree = "its kinds of evidence agree" if len(sides) == 1 else "its kinds of evidence disagree"
    return f"Asked alone, {agree}: {', '.join(parts)}."


def leaning(effects: list[Effect], baseline: float) -> str | None:
    """Which part of the face, hidden, changes the score most."""
    facial = [effect for effect in effects if effect.name != face_regions.BACKGROUND]
    if not facial:
        return None
    most = max(facial, key=lambda effect: abs(effect.probability - baseline))
    change = most.probability - baseline
    if not abs(change) >= SLIGHT:
        return "Hiding any one part of the face changes the score little: no single part carries it."
    moved = f"hiding the {most.name} moves the score most, from {number(baseline)} to {number(most.probability)}"
    if change < 0:
        meaning = "to this detector, what is seen there speaks for a forgery"
    else:
        meaning = "either the part looks genuine to this detector, or the patch that hides it looks forged"
    return f"In the explained windows, the most suspicious of each part of the video, {moved}: {meaning}."


def moving(pace: Pace | None) -> str | None:
    """How the motion compares with that of real videos."""
    if pace is None:
        return None
    if 1 / (1 + len(pace.reference.usual)) > RARE:
        return f"{len(pace.reference.usual)} real windows are too few to call the motion of a face unusual."
    rare = pace.reference.rarity(np.array([distance for _, distance in pace.seconds])) <= RARE
    count, total = int(rare.sum()), len(rare)
    if not count:
        return "The face moves as the faces of the real videos it was compared with do."
    return (
        f"In {count} of {total} seconds the face moves as fewer than 1 in 20 windows of the real videos do, "
        "which other cameras, speech or laughter can cause as well as a forgery."
    )


def _not(verdict: str) -> str:
    if verdict == "real":
        return (
            "That nothing was found does not prove the video genuine: other forgeries may leave nothing that it sees."
        )
    return (
        "This is a statistical hint and no proof: genuine videos are called forged too, and what is shown below is "
        "what the model used, not what was done to the video."
    )


def number(value: float) -> str:
    """Two decimals, and never 0 or 1."""
    if math.isnan(value):
        return "not a number"
    return "above 0.99" if value > 0.995 else "below 0.01" if value < 0.005 else f"{value:.2f}"
