// Package judge walks ordered lists of rules over something that was presented:
// once to its first refusal, or to its end to explain it. What a rule demands is
// its owner's; here is only the walk, so that what is explained is what was
// judged, for SVIDs and for access tokens alike.
package judge
