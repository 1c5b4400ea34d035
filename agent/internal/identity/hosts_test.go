package identity

import (
	"strings"
	"testing"
)

func TestHostsWith(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "127.0.0.1\tlocalhost\n127.0.1.1\tn\n",
		"::1 x":                         "::1 x\n127.0.1.1\tn\n",
		"127.0.1.1 a\nx\n127.0.1.1 b\n": "127.0.1.1\tn\nx\n",
	} {
		if got := hostsWith(text, "n"); got != want {
			t.Errorf("hostsWith(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzHosts(f *testing.F) {
	f.Add("127.0.0.1 localhost\n127.0.1.1 old\n")
	f.Fuzz(func(t *testing.T, text string) {
		if !strings.Contains(hostsWith(text, "name"), "127.0.1.1\tname\n") {
			t.Fatalf("%q does not name the machine", hostsWith(text, "name"))
		}
	})
}
