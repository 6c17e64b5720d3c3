RUN addgroup -g {{ recipe.user }} app && adduser -D -H -u {{ recipe.user }} -G app app
