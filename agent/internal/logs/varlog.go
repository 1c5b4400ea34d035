package logs

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	logDirectory    = "/var/log"
	maxLogFiles     = 32
	maxLogDepth     = 3
	maxLogTail      = 64 << 10 // bytes of one file that are read at most
	binaryProbeSize = 512
)

// logFiles follows the text files of a directory.
type logFiles struct {
	root    string
	offsets map[string]int64
}

func newLogFiles(root string) *logFiles {
	return &logFiles{root: root, offsets: make(map[string]int64)}
}

// read returns the lines that were written since the last call; the first call
// returns the last lines of each file.
func (f *logFiles) read() []logEntry {
	var entries []logEntry
	seen := 0
	_ = filepath.WalkDir(f.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // unreadable or just removed
		}
		if entry.IsDir() {
			depth := strings.Count(strings.TrimPrefix(path, f.root), "/")
			if depth >= maxLogDepth || path == filepath.Join(f.root, "journal") {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || strings.HasSuffix(path, ".gz") || strings.HasSuffix(path, ".xz") {
			return nil
		}
		if seen++; seen > maxLogFiles {
			return fs.SkipAll
		}
		entries = append(entries, f.readFile(path)...)
		return nil
	})
	return entries
}

func (f *logFiles) readFile(path string) []logEntry {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	from, known := f.offsets[path]
	if !known || info.Size() < from {
		from = 0
	}
	skipped := false
	if info.Size()-from > maxLogTail {
		from, skipped = info.Size()-maxLogTail, true
	}
	text, err := io.ReadAll(io.NewSectionReader(file, from, info.Size()-from))
	if err != nil || bytes.IndexByte(text[:min(len(text), binaryProbeSize)], 0) >= 0 {
		return nil
	}
	// The last line may not be complete yet.
	end := bytes.LastIndexByte(text, '\n') + 1
	f.offsets[path] = from + int64(end)
	lines := string(text[:end])
	if skipped {
		_, lines, _ = strings.Cut(lines, "\n")
	}
	var entries []logEntry
	for line := range strings.Lines(lines) {
		line = strings.TrimRight(line, "\r\n")
		entries = append(entries, logEntry{time: lineTime(line, info.ModTime()), source: sourceFiles, line: cutLine(line), path: path})
	}
	return entries
}

// lineTime is the time at the beginning of a line, or else that of its file.
func lineTime(line string, otherwise time.Time) time.Time {
	for _, layout := range []string{time.RFC3339Nano, time.DateTime} {
		if len(line) < len(time.DateTime) {
			break
		}
		word := line[:len(time.DateTime)]
		if layout == time.RFC3339Nano {
			word, _, _ = strings.Cut(line[:min(len(line), 40)], " ")
		}
		if parsed, err := time.Parse(layout, word); err == nil && !parsed.After(otherwise.Add(time.Second)) {
			return parsed
		}
	}
	return otherwise
}
