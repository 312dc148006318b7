"""The same as ``fusion-dfd import-keras``."""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("import-keras")
