"""Where spans go: to a collector, by the SDK of OpenTelemetry, if that is installed and a setting names one."""
