package wire

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func FuzzJSONString(f *testing.F) {
	f.Add("plain")
	f.Add("\xff\x00\"\\\n\u2028é\xc3")
	f.Fuzz(func(t *testing.T, text string) {
		var back string
		if err := json.Unmarshal(AppendString(nil, text), &back); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if utf8.ValidString(text) && back != text {
			t.Fatalf("%q came back as %q", text, back)
		}
	})
}
