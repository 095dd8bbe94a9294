package main

import (
	"regexp"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
)

// logLine matches what the reference's logger writes, at any indentation.
var logLine = regexp.MustCompile(`^\s*(DEBUG|INFO|WARN|ERROR|FATAL) `)

// normalize is what counts of an output: without log lines, whose texts are every implementation's own, and without
// spaces at the ends of lines. A command that says nothing else says ok. No output at all is one not recorded yet.
func normalize(output string) string {
	if output == "" {
		return ""
	}
	var kept []string
	for line := range strings.Lines(output) {
		if line = strings.TrimRight(line, " \r\n"); !logLine.MatchString(line) {
			kept = append(kept, line)
		}
	}
	if text := strings.TrimRight(strings.Join(kept, "\n"), "\n"); text != "" {
		return text
	}
	return "ok"
}

// difference shows in unified form how the reference's output differs from the recorded one.
func difference(expected, actual string) string {
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A:        difflib.SplitLines(expected),
		FromFile: "recorded",
		B:        difflib.SplitLines(actual),
		ToFile:   "reference",
		Context:  3,
	})
	if err != nil { // only a writer can fail, and this one writes to memory
		panic(err)
	}
	return text
}
