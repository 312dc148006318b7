"""The shards of :mod:`tiny`, beside this file, and configurations for them."""

import pytest
import tiny as small

from fusion_dfd import config as c


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> str:
    return small.write(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="session")
def configured(shards):
    """Function (run folder) -> a configuration of four steps and one branch (little to compile).

    There are 16 clips a batch, so that as many as eight devices hold a pair each.
    """
    return lambda workdir: small.configuration(str(workdir), shards)


@pytest.fixture
def tiny(tmp_path, configured) -> c.Config:
    return configured(tmp_path / "run")
