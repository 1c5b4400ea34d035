package server_test

import (
	"testing"

	"opencomputer.dev/agent/internal/agenttest"
)

func TestStats(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	got := agenttest.Decode[struct {
		MemoryTotalBytes, MemoryAvailableBytes, DiskTotalBytes, DiskFreeBytes uint64
		Processes, UptimeMs                                                   int
	}](t, h.Want(200, "GET", "/v1/stats", nil).Body)
	if got.MemoryTotalBytes == 0 || got.MemoryAvailableBytes == 0 || got.MemoryAvailableBytes > got.MemoryTotalBytes ||
		got.DiskTotalBytes == 0 || got.DiskFreeBytes > got.DiskTotalBytes || got.Processes < 1 || got.UptimeMs <= 0 {
		t.Errorf("stats %+v", got)
	}
}
