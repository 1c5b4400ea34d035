package files

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"opencomputer.dev/agent/internal/wire"
)

const (
	maxListed     = 100_000
	listBatch     = 1024
	listFlushSize = 64 << 10
	linesType     = "application/x-ndjson"
)

// List streams the entries of a directory, sorted by name: in lines for a host
// that accepts them, else as one document.
func List(w http.ResponseWriter, r *http.Request) error {
	path, _, err := pathQuery(r)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return errFile(err, path)
	}
	if !info.IsDir() {
		return wire.Refuse(http.StatusConflict, "not_directory", "not a directory: %s", path)
	}
	names, truncated, err := directoryNames(path)
	if err != nil {
		return errFile(err, path)
	}
	if strings.Contains(r.Header.Get("Accept"), linesType) {
		sendLines(w, path, names, truncated)
	} else {
		sendDocument(w, path, names, truncated)
	}
	return nil
}

// sendLines sends a list as lines: whether it is truncated, the entries, and
// that it has ended.
func sendLines(w http.ResponseWriter, path string, names []string, truncated bool) {
	w.Header()["Content-Type"] = []string{linesType}
	body := append(strconv.AppendBool([]byte(`{"truncated":`), truncated), "}\n"...)
	for entry := range statAll(path, names) {
		body = append(body, `{"name":`...)
		body = appendFlat(body, entry.name)
		body = append(body, ',')
		body = append(appendAttributes(body, entry.info, entry.leadsToDirectory()), '}', '\n')
		if len(body) >= listFlushSize {
			if _, err := w.Write(body); err != nil {
				return // the host has hung up
			}
			body = body[:0]
		}
	}
	w.Write(append(body, "{\"end\":true}\n"...))
}

var nesting = strings.NewReplacer("{", `\u007b`, "[", `\u005b`)

// appendFlat appends text as a JSON string without braces and brackets: the host
// refuses lines that have some without parsing them, since that could be costly.
func appendFlat(out []byte, text string) []byte {
	from := len(out)
	out = wire.AppendString(out, text)
	if !bytes.ContainsAny(out[from:], "{[") {
		return out
	}
	return append(out[:from], nesting.Replace(string(out[from:]))...)
}

// sendDocument sends a list as one JSON document, for an older host.
func sendDocument(w http.ResponseWriter, path string, names []string, truncated bool) {
	w.Header()["Content-Type"] = []string{"application/json"}
	body := []byte(`{"entries":[`)
	separator := ""
	for entry := range statAll(path, names) {
		body = append(body, separator...)
		separator = ","
		body = appendEntry(body, entry.name, entry.path, entry.info, entry.leadsToDirectory())
		if len(body) >= listFlushSize {
			if _, err := w.Write(body); err != nil {
				return // the host has hung up
			}
			body = body[:0]
		}
	}
	body = strconv.AppendBool(append(body, `],"truncated":`...), truncated)
	w.Write(append(body, '}'))
}

type listed struct {
	name, path string
	info       os.FileInfo
}

func (l listed) leadsToDirectory() bool { return leadsToDirectory(l.path, l.info) }

// statAll yields the entries of a directory that still exist.
func statAll(path string, names []string) iter.Seq[listed] {
	prefix := strings.TrimRight(path, "/") + "/"
	return func(yield func(listed) bool) {
		for _, name := range names {
			info, err := os.Lstat(prefix + name)
			if err != nil {
				continue // removed since its name was read
			}
			if !yield(listed{name, prefix + name, info}) {
				return
			}
		}
	}
}

// directoryNames returns at most maxListed names, sorted.
func directoryNames(path string) (names []string, truncated bool, err error) {
	directory, err := os.Open(openable(path))
	if err != nil {
		return nil, false, err
	}
	defer directory.Close()
	for len(names) <= maxListed {
		batch, err := directory.Readdirnames(listBatch)
		names = append(names, batch...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, false, err
		}
	}
	truncated = len(names) > maxListed
	if truncated {
		names = names[:maxListed]
	}
	slices.Sort(names)
	return names, truncated, nil
}
