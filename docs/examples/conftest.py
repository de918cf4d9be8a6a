"""The examples are projects of their own; tests/test_plugin_example.py installs and tests them."""

collect_ignore = ["crstack-plugin-example"]
