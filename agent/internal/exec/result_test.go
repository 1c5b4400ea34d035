package exec_test

import (
	"io"
	"net/http"
	"runtime"
	"testing"

	"opencomputer.dev/agent/internal/agenttest"
)

// Thirty callers ask for the same large result at once, and read it slowly.
func TestResultsTakeNoMemoryForEachWhoAsks(t *testing.T) {
	agenttest.NeedRoot(t)
	const asking, size = 30, 8 << 20
	h := agenttest.NewReadyHost(t)
	ended := h.Exec(map[string]any{"argv": []string{"head", "-c", "8M", "/dev/zero"}, "bufferBytes": size})
	ended.WantExit(t, 0)
	before := heapInUse()
	var answers []*http.Response
	for range asking {
		response, err := h.Client.Get("http://agent/v1/exec/" + ended.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answers = append(answers, response)
	}
	if took := heapInUse() - before; took > asking*(1<<20) {
		t.Errorf("%d answers of %d MiB take %d MiB", asking, size>>20, took>>20)
	}
	for _, response := range answers {
		count, err := io.Copy(io.Discard, response.Body)
		if err != nil || count < size*4/3 {
			t.Fatalf("an answer has %d bytes (%v)", count, err)
		}
	}
}

func heapInUse() int {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapInuse)
}
