"""Executors of a plan: in this process, or on Ray. Imports curation."""

import os

from curation_engine_start import refuse_others

refuse_others("schemas", "curation")
# Said before Ray is imported, which reads it once: an unset mode depends on what was ever run in this home. Ray's
# ports listen on all interfaces, so the token is the real guard.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
