package server_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"opencomputer.dev/agent/internal/agenttest"
)

func TestQuiesce(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	waiting := make(chan agenttest.Answer, 1)
	gate, open := agenttest.Gate(t)
	go func() { waiting <- h.Call("POST", "/v1/exec", `{"argv":["sh","-c","read -r line < `+gate+`"]}`) }()
	if !agenttest.WaitUntil(func() bool { return len(h.Want(200, "GET", "/v1/exec", nil).Body) > len(`{"sessions":[]}`) }) {
		t.Fatal("the command does not start")
	}
	h.Want(200, "POST", "/v1/quiesce", `{"sync":true}`)
	if len(waiting) > 0 {
		t.Error("quiesce waited for a command, or cut it off")
	}
	h.Refused(409, "quiesced", "GET", "/v1/stats", nil)
	h.Refused(409, "quiesced", "POST", "/v1/exec", `{"argv":["true"]}`)
	h.Want(200, "POST", "/v1/handshake", `{"protocol":1,"epoch":"second"}`)
	if epoch := h.Want(200, "GET", "/v1/stats", nil).Header.Get("x-epoch"); epoch != "second" {
		t.Fatalf("x-epoch is %q", epoch)
	}
	open()
	if got := <-waiting; got.Status != 200 {
		t.Errorf("the command in flight answered %d", got.Status)
	}
}

func TestQuiesceCutsAStuckUpload(t *testing.T) {
	h := agenttest.NewReadyHost(t)
	path := filepath.Join(t.TempDir(), "file")
	agenttest.WriteFile(t, path, "old")
	body := agenttest.NewStuckBody("some bytes")
	defer body.Close()
	request, err := http.NewRequest("PUT", "http://agent/v1/files?"+agenttest.PathQuery(path), body)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan int, 1)
	go func() {
		response, err := h.Client.Do(request)
		if err != nil {
			done <- 0
			return
		}
		response.Body.Close()
		done <- response.StatusCode
	}()
	<-body.Sent
	h.Want(200, "POST", "/v1/quiesce", nil)
	if status := <-done; status != 0 && status < 400 {
		t.Errorf("the stuck upload answered %d", status)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Errorf("file is %q", got)
	}
}
