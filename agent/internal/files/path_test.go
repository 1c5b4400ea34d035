package files

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"opencomputer.dev/agent/internal/wire"
)

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
