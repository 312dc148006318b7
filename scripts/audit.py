"""The same as ``fusion-dfd audit``."""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("audit")
