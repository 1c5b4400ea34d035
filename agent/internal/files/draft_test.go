package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDraftWithTemporaryName(t *testing.T) {
	directory := t.TempDir()
	for _, publish := range []bool{false, true} {
		file, err := os.Create(directory + "/temporary")
		if err != nil {
			t.Fatal(err)
		}
		draft := &draft{file: file, directory: directory, name: "temporary"}
		if publish {
			if err := draft.publish("final"); err != nil {
				t.Fatal(err)
			}
		}
		draft.close()
		left, err := filepath.Glob(directory + "/*")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(left, " "); publish && got != directory+"/final" || !publish && got != "" {
			t.Errorf("publish %v left %q", publish, got)
		}
	}
}
