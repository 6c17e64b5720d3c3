{% if recipe.environment %}
ENV{% for pair in recipe.environment %} {{ pair[0] }}={{ pair[1]|dockerfile }}{% endfor %}

{% endif %}
