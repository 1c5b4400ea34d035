package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzExecRequest(f *testing.F) {
	f.Add(`{"argv":["sh","-c","true"],"env":{"A":"b"},"cwd":"/","waitMs":0,"timeoutMs":5,"id":"00112233"}`)
	f.Add(`{"argv":["\u0000"]}`)
	f.Add(`{"argv":null,"env":null}`)
	f.Add(`[1,2`)
	f.Fuzz(func(t *testing.T, body string) {
		var request execRequest
		r := httptest.NewRequest("POST", "/v1/exec", strings.NewReader(body))
		err := readJSON(httptest.NewRecorder(), r, &request)
		if err == nil {
			err = request.check()
		}
		if err != nil {
			if refused, ok := err.(*refusal); !ok || refused.status < 400 || refused.status >= 500 || refused.code == "" {
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
		if path[0] != '/' || len(path) > maxPath || strings.Contains(path, "\x00") {
			t.Fatalf("%q was let through", path)
		}
		if parent := parentOf(path); parent == "" || !strings.HasPrefix(path, parent) {
			t.Fatalf("parent of %q is %q", path, parent)
		}
	})
}

func FuzzJSONString(f *testing.F) {
	f.Add("plain")
	f.Add("\xff\x00\"\\\n\u2028é\xc3")
	f.Fuzz(func(t *testing.T, text string) {
		var back string
		if err := json.Unmarshal(appendJSONString(nil, text), &back); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if utf8.ValidString(text) && back != text {
			t.Fatalf("%q came back as %q", text, back)
		}
	})
}

func FuzzAccounts(f *testing.F) {
	f.Add("sandbox:x:1000:1000:,,,:/home/sandbox:/bin/bash\n", "sudo:x:27:sandbox\n")
	f.Fuzz(func(t *testing.T, passwd, group string) {
		if found := parseAccount(sandboxUser, passwd, group); found == nil || len(found.groups) == 0 {
			t.Fatal("no account for the sandbox user")
		}
		parseEnvironment(passwd)
		hostsWith(passwd, "name")
	})
}
