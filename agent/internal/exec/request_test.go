package exec

import (
	"net/http/httptest"
	"strings"
	"testing"

	"opencomputer.dev/agent/internal/wire"
)

func FuzzExecRequest(f *testing.F) {
	f.Add(`{"argv":["sh","-c","true"],"env":{"A":"b"},"cwd":"/","waitMs":0,"timeoutMs":5,"id":"00112233"}`)
	f.Add(`{"argv":["\u0000"]}`)
	f.Add(`{"argv":null,"env":null}`)
	f.Add(`[1,2`)
	f.Fuzz(func(t *testing.T, body string) {
		var request execRequest
		r := httptest.NewRequest("POST", "/v1/exec", strings.NewReader(body))
		err := wire.ReadJSON(httptest.NewRecorder(), r, &request)
		if err == nil {
			err = request.check()
		}
		if err != nil {
			if refused, ok := err.(*wire.Refusal); !ok || refused.Status < 400 || refused.Status >= 500 || refused.Code == "" {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if request.User != "sandbox" && request.User != "root" || len(request.Argv) == 0 || request.TimeoutMs < 0 {
			t.Fatalf("%q was let through as %+v", body, request)
		}
		for _, argument := range request.Argv {
			if strings.Contains(argument, "\x00") {
				t.Fatalf("NUL in argv: %q", body)
			}
		}
	})
}
