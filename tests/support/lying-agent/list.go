package files

import (
	"bytes"
	"net/http"
	"strings"
	"sync"

	"opencomputer.dev/agent/internal/wire"
)

// A lie is what a path is listed as: a form, a beginning, and what is repeated.
type lie struct {
	form, head, repeated string
	told                 int // how often it was begun: how much of it leaves is for the host to say
}

const lieSize = 62 << 20

var (
	liesMu sync.Mutex
	lies   = map[string]*lie{
		"/objects": {form: "application/json", head: `{"entries":[`, repeated: "{},"},
		"/nested":  {form: "application/json", repeated: "["},
		"/lines":   {form: linesType, head: "{\"truncated\":false}\n", repeated: "{}\n"},
		"/line":    {form: linesType, repeated: "{},"},
		"/string":  {form: linesType, head: `{"x":"`, repeated: "x"},
		"/entries": {
			form: linesType, head: "{\"truncated\":false}\n",
			repeated: `{"name":"a","type":"file","isDir":false,"size":1,"mode":"0644","uid":0,"gid":0,"modifiedAt":""}` + "\n",
		},
	}
)

const linesType = "application/x-ndjson"

// List takes the place of the agent's own: it answers with 62 MiB of a lie, and
// says below /told how often it has begun to.
func List(w http.ResponseWriter, r *http.Request) error {
	path, _, err := pathQuery(r)
	if err != nil {
		return err
	}
	path, told := strings.CutPrefix(path, "/told")
	lie := lies[path]
	if lie == nil {
		return wire.Invalid("no lie is known for %s", path)
	}
	if told {
		liesMu.Lock()
		defer liesMu.Unlock()
		return wire.Invalid("told %d times", lie.told)
	}
	lie.count()
	w.Header()["Content-Type"] = []string{lie.form}
	if _, err := w.Write([]byte(lie.head)); err != nil {
		return nil // the host has had enough
	}
	piece := bytes.Repeat([]byte(lie.repeated), (64<<10)/len(lie.repeated))
	for sent := 0; sent < lieSize; sent += len(piece) {
		if _, err := w.Write(piece); err != nil {
			return nil
		}
	}
	return nil
}

func (l *lie) count() {
	liesMu.Lock()
	defer liesMu.Unlock()
	l.told++
}
