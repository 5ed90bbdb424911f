//! Stand-ins for the systems no one outside can reach, run as separate processes; they share no translation code with the gateway. Depends on model, config, telemetry and tls only.
