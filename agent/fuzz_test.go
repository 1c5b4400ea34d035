package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
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

func FuzzPath(f *testing.F) {
	for _, path := range []string{"/", "/a/b", "//x/../y", "rel", "", "/\x00", "/%ff", "/a/b/"} {
		f.Add(url.QueryEscape(path))
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := &http.Request{URL: &url.URL{RawQuery: "path=" + text}}
		path, _, err := pathQuery(r)
		if err != nil {
			return
		}
		if path[0] != '/' || len(path) > wire.MaxPath || strings.Contains(path, "\x00") {
			t.Fatalf("%q was let through", path)
		}
		if parent := parentOf(path); parent == "" || !strings.HasPrefix(path, parent) {
			t.Fatalf("parent of %q is %q", path, parent)
		}
	})
}
