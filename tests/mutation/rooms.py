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
    without: tuple[str, ...] = ()
    """Beginnings of the names of tests in these files that take too long to try every survivor by them."""


def _room(name: str, modules: str, tests: str, *, mathematics: bool = False, without: str = "") -> Room:
    return Room(
        name,
        tuple(f"jacobians/{each}.py" for each in modules.split()),
        tuple(map(_test, tests.split())),
        mathematics,
        tuple(map(_test, without.split())),
    )


def _test(name: str) -> str:
    return f"tests/{name.replace('::', '.py::')}" if "::" in name else f"tests/{name}.py"


ROOMS = [
    _room(
        "geometry",
        "geometry",
        "test_geometry test_bad_input test_matrices::test_matrix_forms_are_the_convolution_forms "
        "test_models::test_a_geometry_of_a_module_reads_its_options test_models::test_what_has_no_geometry_is_refused",
        mathematics=True,
    ),
    _room("convolution", "convolution", "test_convolution test_bad_input", mathematics=True),
    _room("matrices", "matrices", "test_matrices test_bad_input", mathematics=True),
    _room("blocks", "_blocks", "test_matrices", mathematics=True),
    _room("operators", "operators", "test_operators", mathematics=True),
    _room("spectra", "spectra", "test_spectra", mathematics=True),
    _room("pooling", "pooling", "test_pooling test_chain", mathematics=True),
    _room("chain", "chain", "test_chain test_chain_torch", mathematics=True),
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
        "test_reference test_report test_claims test_verify "
        "test_every_size::test_a_failed_proof_says_how_often_a_product_is_taken "
        "test_every_size::test_a_failed_proof_without_an_example_counts_nothing "
        "test_every_size::test_a_check_of_a_layer_holds_its_code_against_the_relations "
        "test_every_size::test_a_wrong_relation_fails_in_the_report_with_the_sizes "
        "test_every_size::test_a_relation_that_is_not_what_the_code_computes_is_refused_though_it_may_be_proved "
        "test_every_size::test_the_report_counts_combinations_and_says_where_no_proof_applies",
        without="test_verify::test_wrong_forms_fail test_verify::test_wrong_layers_fail "
        "test_verify::test_networks_hold test_verify::test_a_quick_run test_verify::test_an_executor "
        "test_verify::test_large_layers",
    ),
    _room(
        "true size",
        "verify/large verify/layers verify/journal",
        "test_verify_network",
        without="test_verify_network::test_the_command test_verify_network::test_what_is_wrong_is_said_although "
        "test_verify_network::test_unusable_arguments test_verify_network::test_a_process_that_dies "
        "test_verify_network::test_what_dask_needs",
    ),
    _room(
        "every size",
        "verify/relations verify/every_size",
        "test_every_size",
        without="test_every_size::test_wrong_code_is_refused_by",
    ),
    _room(
        "relation",
        "formula/relation formula/structure",
        "formula/test_relation formula/test_products formula/test_writing formula/test_joined",
        mathematics=True,
    ),
    _room("prove", "formula/prove", "formula/test_prove test_every_size::test_tail_in_front", mathematics=True),
    _room(
        "fit",
        "formula/combine formula/fit formula/equations formula/ranges",
        "formula/test_combine formula/test_equations formula/test_search formula/test_fit formula/test_joined",
    ),
    _room(
        "products",
        "formula/products formula/digits formula/sums",
        "formula/test_reading formula/test_products",
    ),
    _room(
        "words",
        "formula/words formula/circumstances",
        "formula/test_words_facts formula/test_words formula/test_circumstances",
    ),
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
    _room("draws", "audit/numbers audit/sums audit/factors audit/cases", "test_audit_draws"),
    _room(
        "kinds",
        "audit/layers/relu audit/layers/softmax audit/layers/fully_connected audit/layers/convolution",
        "test_audit_kinds test_audit_layers",
        without="test_audit_layers::test_a_right_fully_connected_layer_passes_with_many_seeds "
        "test_audit_layers::test_right_softmaxes_pass_with_many_seeds "
        "test_audit_layers::test_the_formula_of_wrong_scores_is_read_and_predicts_them "
        "test_audit_layers::test_the_smallest_cases_of_the_fully_connected_layer_in_symbols "
        "test_audit_layers::test_wrong_gradients_are_found",
    ),
    _room(
        "binding",
        "audit/binding audit/findings audit/flags",
        "test_audit_binding test_audit_findings test_calling test_flags",
        without="test_flags::test_code_of_a_course_needs_the_flag "
        "test_calling::test_the_code_of_a_finding_makes_the_object_and_calls_it "
        "test_calling::test_what_is_read_off_an_object_is_not_mended "
        "test_calling::test_words_for_the_padding test_calling::test_padding_that_depends_on_the_filter "
        "test_calling::test_a_function_that_returns_the_padding test_calling::test_same_as_tensorflow_has_it",
    ),
    _room(
        "explaining",
        "audit/explain audit/facts audit/trials audit/conventions",
        "test_audit_explaining test_audit_binding test_calling test_audit_causes",
        without="test_calling::test_the_code_of_a_finding_makes_the_object_and_calls_it "
        "test_calling::test_what_is_read_off_an_object_is_not_mended "
        "test_calling::test_words_for_the_padding test_calling::test_padding_that_depends_on_the_filter "
        "test_calling::test_a_function_that_returns_the_padding test_calling::test_same_as_tensorflow_has_it "
        "test_audit_causes::test_the_command_says_it test_audit_causes::test_a_single_slip "
        "test_audit_causes::test_code_in_another_process test_audit_causes::test_what_is_wrong_in_one_of_fifty",
    ),
]
