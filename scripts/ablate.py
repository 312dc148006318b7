"""The same as ``fusion-dfd ablate``."""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("ablate")
