# Without a Python that has fastavro the test says so and is shown as skipped.
set_tests_properties(unit/event/interop PROPERTIES SKIP_RETURN_CODE 77 LABELS "unit;interop")
