"""What ``fusion-dfd tune`` may change of ``fusion.py``'s recipe; the recipe's own values are its first trial."""

from fusion_dfd.runs.search_space import Choice, Float, Int


def get_space():
    return {
        "optim.lr": Float(3e-4, 1e-2, log=True),
        "optim.weight_decay": Float(1e-3, 0.3, log=True),
        "optim.warmup": Int(5, 50, log=True),
        "optim.label_smoothing": Float(0.0, 0.2),
        "optim.auxiliary": Float(0.0, 2.0),
        "optim.ema": Choice((0.9, 0.98, 0.99)),
        "model.dropout": Float(0.0, 0.5),
        "model.branch_dropout": Float(0.0, 0.5),
        "data.augment.colour": Float(0.0, 0.3),
        "data.augment.crop": Float(0.0, 0.15),
    }
