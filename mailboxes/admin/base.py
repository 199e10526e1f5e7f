"""What staff pages have in common: read only unless they say so, nothing deleted, lists that never count millions.

Flows open their own transactions (`atomic(durable=True)`), and Django wraps `save_model` in one: so what changes a
state is a page of its own, which calls one flow and says in one sentence what came of it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.core.paginator import Paginator
from django.db.models import Model
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin, TabularInline

from accounts.models import User
from pecportal.errors import RefusedError

MOST_COUNTED = 10_000
MOST_FOUND = 200  # rows of another table that one search follows


class Done(NamedTuple):
    """What came of a page's flow: where to go on, and what is said there."""

    url: str
    sentence: str
    level: int = messages.SUCCESS


class CappedPaginator(Paginator):
    """Counts no further than 10,000 rows: a list of nine million boxes opens as fast as one of nine."""

    template_name = "admin/capped_pagination.html"

    @cached_property
    def count(self) -> int:
        return min(self._found, MOST_COUNTED)

    @property
    def is_capped(self) -> bool:
        return self._found > MOST_COUNTED

    @cached_property
    def _found(self) -> int:
        rows: Any = self.object_list
        return rows.order_by()[: MOST_COUNTED + 1].count()


class StaffAdmin(ModelAdmin):
    """An editable list of ours: nothing can be deleted, no actions on many rows at once."""

    actions = None
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()  # a click on a column must not sort a table that has no index for it
    list_per_page = 50
    list_fullwidth = True
    compressed_fields = True

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def found(self, request: HttpRequest, object_id: str) -> Any:
        """The object of an own page, or 404."""
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            raise Http404
        return obj

    def form_page(
        self, request: HttpRequest, *, form: BaseForm, title: str, submit: str, obj: Model | None = None,
        intro: str = "", facts: Sequence[tuple[str, object]] = (), danger: bool = False,
    ) -> TemplateResponse:  # fmt: skip
        """An own page: a form that calls a flow, with what one should know before pressing the button."""
        opts = self.model._meta
        back = admin_url(obj) if obj else reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        return TemplateResponse(
            request,
            "admin/flow_form.html",
            {
                **self.admin_site.each_context(request),
                "opts": opts, "original": obj, "title": title, "form": form, "media": self.media + form.media,
                "intro": intro, "facts": facts, "submit": submit, "danger": danger, "back": back,
            },
        )  # fmt: skip

    def flow_page(
        self, request: HttpRequest, *, form: BaseForm, flow: Callable[[dict[str, Any]], Done],
        beside: str | None = None, **page: Any,
    ) -> HttpResponse:  # fmt: skip
        """A form_page whose button calls `flow` with what was typed. What is refused stays as it was typed.

        `beside`: the field that a refusal is about; without it the sentence stands above the form (R31).
        """
        if request.method == "POST" and form.is_valid():
            try:
                done = flow(form.cleaned_data)
            except RefusedError as refusal:
                form.add_error(beside, str(refusal))
            else:
                self.message_user(request, done.sentence, done.level)
                return redirect(done.url)
        return self.form_page(request, form=form, **page)


class ReadOnlyAdmin(StaffAdmin):
    """Staff look; flows write. A POST is refused (403), whatever it holds."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Sequence[str]:
        return self.fields or [f.name for f in self.model._meta.concrete_fields if f.name != "id"]


class ReadOnlyInline(TabularInline):
    """Rows that belong to the page's object, to look at."""

    extra = 0
    can_delete = False
    tab = True
    hide_title = True
    related: Iterable[str] = ()

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Sequence[str]:
        return self.fields or ()

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related(*self.related)


def posted(request: HttpRequest) -> QueryDict | None:
    """What an own page's form was sent, or None while it is only looked at."""
    return request.POST if request.method == "POST" else None


def who(request: HttpRequest) -> User:
    """The member of staff who asks: admin_view has let nobody else in."""
    assert isinstance(request.user, User)
    return request.user


def admin_url(obj: Model, page: str = "change") -> str:
    """The address of an object's page in admin."""
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_{page}", args=[obj.pk])
