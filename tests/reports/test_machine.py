import numpy

from vnet_jax.reports import machine


def test_versions_are_those_that_are_imported():
    facts = machine.versions(("numpy", "no-such-package"))
    assert facts["numpy"] == numpy.__version__
    assert facts["no-such-package"] == "not installed"


def test_hardware_is_told_in_words():
    facts = machine.hardware()
    assert int(facts["Cores"]) >= 1
    assert all(isinstance(value, str) and value for value in facts.values())
