"""The trainer's figures for Prometheus: what is declared, and the meters of ranks and agents. Nothing is served here."""
