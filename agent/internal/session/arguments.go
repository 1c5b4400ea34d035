package session

import (
	"path"
	"slices"
	"strings"
)

// maxArgument bounds one argument, or one variable with its name, in bytes: the
// kernel's MAX_ARG_STRLEN without the NUL.
const maxArgument = 128<<10 - 1

// tooLong says which of a command's arguments and variables the kernel refuses.
func (c *command) tooLong() error {
	total := 0
	for i, argument := range c.argv {
		if len(argument) > maxArgument {
			return errStart("argument %d has %d bytes: Linux takes at most %d in one; write it to a file", i, len(argument), maxArgument)
		}
		total += len(argument) + 1
	}
	for _, variable := range c.env {
		if len(variable) > maxArgument {
			name, _, _ := strings.Cut(variable, "=")
			return errStart("the environment variable %.64q has %d bytes with its name: Linux takes at most %d", name, len(variable), maxArgument)
		}
		total += len(variable) + 1
	}
	count := len(c.argv) + len(c.env)
	return errStart("the arguments and the environment are too long: %d strings of %d bytes in all; Linux takes 2 MiB, with 8 more for each", count, total)
}

// workingDirectory is the variable PWD with the path by which a command got to its
// directory. A shell keeps this path; otherwise it would find the path without
// symbolic links. It does not keep a path with . or .. in it.
func workingDirectory(directory string) map[string]string {
	elements := strings.Split(directory, "/")
	if slices.Contains(elements, ".") || slices.Contains(elements, "..") {
		return nil
	}
	return map[string]string{"PWD": path.Clean(directory)}
}
