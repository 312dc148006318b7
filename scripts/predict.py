"""Score videos with a trained run: the same as `fusion-dfd predict`.

python scripts/predict.py PATH [PATH ...] --checkpoint runs/fusion [--json | --csv] [--report DIR]
"""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("predict")
