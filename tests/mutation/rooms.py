"""The modules that decide, and for each the few test files, or single tests, that decide about it, cheap ones first."""

from dataclasses import dataclass

__all__ = ["ROOMS", "Room"]


@dataclass(frozen=True)
class Room:
    """Modules that are tried by the same tests."""

    name: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    mathematics: bool = False


def _room(name: str, modules: str, tests: str, *, mathematics: bool = False) -> Room:
    return Room(
        name,
        tuple(f"jacobians/{each}.py" for each in modules.split()),
        tuple(f"tests/{each.replace('::', '.py::')}" if "::" in each else f"tests/{each}.py" for each in tests.split()),
        mathematics,
    )


ROOMS = [
    _room(
        "geometry",
        "geometry",
        "test_geometry test_bad_input test_matrices::test_matrix_forms_are_the_convolution_forms",
        mathematics=True,
    ),
    _room("convolution", "convolution", "test_convolution test_bad_input", mathematics=True),
    _room("matrices", "matrices _blocks", "test_matrices test_bad_input", mathematics=True),
    _room("operators", "operators", "test_operators", mathematics=True),
    _room("spectra", "spectra", "test_spectra", mathematics=True),
    _room("pooling", "pooling", "test_pooling test_chain", mathematics=True),
    _room("chain", "chain", "test_chain", mathematics=True),
    _room("export", "export", "test_export test_export_zarr test_export_torch"),
    _room("oracle", "oracle", "test_oracle", mathematics=True),
    _room("symbolic", "symbolic", "test_symbolic test_bad_input", mathematics=True),
    _room("exact", "evidence/exact", "test_exact test_claims", mathematics=True),
    _room("layers", "layers", "test_layers test_bad_input", mathematics=True),
    _room("network", "network", "test_network test_bad_input", mathematics=True),
    _room("identities", "verify/identities", "test_verify", mathematics=True),
    _room(
        "verify",
        "verify/check verify/cases verify/forms verify/reference verify/report",
        "test_claims test_verify test_every_size",
    ),
    _room("true size", "verify/large verify/layers verify/journal", "test_verify_network"),
    _room("every size", "verify/relations verify/every_size", "test_every_size"),
    _room(
        "relation",
        "formula/relation formula/structure",
        "formula/test_relation formula/test_products formula/test_writing formula/test_joined",
        mathematics=True,
    ),
    _room("prove", "formula/prove", "formula/test_prove", mathematics=True),
    _room(
        "fit",
        "formula/combine formula/fit formula/equations formula/ranges",
        "formula/test_combine formula/test_fit formula/test_joined formula/test_frozen_reading",
    ),
    _room(
        "products",
        "formula/products formula/digits formula/sums",
        "formula/test_products formula/test_fit formula/test_joined formula/test_frozen_reading",
    ),
    _room("words", "formula/words formula/circumstances", "formula/test_words formula/test_circumstances"),
    _room("judge", "audit/compare audit/layer", "test_audit_compare"),
    _room(
        "observing",
        "audit/conduct/digits audit/conduct/layouts audit/conduct/not_a_number audit/conduct/large_batches "
        "audit/conduct/in_place audit/conduct/lost audit/conduct/state",
        "test_audit_observing",
    ),
    _room("calls", "audit/subject audit/surroundings", "test_audit_subject"),
    _room("audit", "audit/run", "test_audit_run"),
    _room("spreading", "audit/layers/spreading", "test_audit_spreading"),
    _room("curriculum", "audit/curriculum", "test_audit_curriculum"),
    _room("draws", "audit/numbers audit/sums audit/factors audit/cases", "test_audit_draws", mathematics=True),
]
