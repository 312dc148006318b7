"""Deepfake video detection: spatial, temporal and micro-expression evidence, fused."""

__version__ = "0.1.0"


def load(run: str, **options):
    """A trained run as a :class:`fusion_dfd.predict.detector.DeepfakeDetector`: ``load(RUN).predict("clip.mp4")``.

    ``options`` are those of :func:`fusion_dfd.predict.detector.load`, for example ``clips=0``.
    """
    from fusion_dfd.predict import detector

    return detector.load(run, **options)
