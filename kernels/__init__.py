"""Kernels: the backends, the tables they share, and the plan that crosses the boundary. Knows nothing of fastnn."""

from .backend import BackendUnavailable
from .plan import Plan, PlanBuilder
from .registry import available_backends, backend_status, get_backend

__all__ = ["BackendUnavailable", "Plan", "PlanBuilder", "available_backends", "backend_status", "get_backend"]
