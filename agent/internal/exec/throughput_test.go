package exec_test

import (
	"io"
	"net/http"
	"testing"

	"opencomputer.dev/agent/internal/agenttest"
)

// BenchmarkSessionOutput sends a command's output to an attached host.
func BenchmarkSessionOutput(b *testing.B) {
	h := agenttest.NewReadyHost(b)
	const size = 256 << 20
	b.SetBytes(size)
	for b.Loop() {
		started := h.Exec(map[string]any{
			"argv": []string{"head", "-c", "256M", "/dev/zero"}, "stdin": true, "waitMs": 0, "holdMs": 10_000,
		})
		request, err := http.NewRequest("POST", "http://agent/v1/exec/"+started.ID+"/attach", http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		response, err := h.Client.Do(request)
		if err != nil {
			b.Fatal(err)
		}
		count, err := io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil || count < size {
			b.Fatalf("%d bytes: %v", count, err)
		}
	}
}
