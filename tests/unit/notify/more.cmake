# A receiver of its own (tests/support/http_sink.h).
target_link_libraries(unit_notify_test_send PRIVATE hf_support)
