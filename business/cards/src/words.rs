//! The words of the pages' furniture, language by language. What stands on a card is the owner's own. No I/O.

use crate::language::Language;

/// The words of one language; `{name}` in them stands for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// The language's tag, which a page carries for its furniture.
    pub tag: &'static str,
    /// On the button that saves the contact.
    pub save_contact: &'static str,
    /// On the round button that calls.
    pub call: &'static str,
    /// On the round button that writes a mail.
    pub mail: &'static str,
    /// On the round button that opens a map.
    pub map: &'static str,
    /// On the round button that opens the web page.
    pub web: &'static str,
    /// The label of a number or an address at work.
    pub work: &'static str,
    /// The same at home.
    pub home: &'static str,
    /// The same for a telephone that is carried along.
    pub mobile: &'static str,
    /// The same for a fax machine.
    pub fax: &'static str,
    /// The same for anything else.
    pub other: &'static str,
    /// The label of a link without a title.
    pub website: &'static str,
    /// The heading over the note.
    pub about: &'static str,
    /// The heading over the form.
    pub share_details: &'static str,
    /// Under it; `{name}` is the card's.
    pub share_details_hint: &'static str,
    /// The label of a field.
    pub name: &'static str,
    /// The label of a field.
    pub email: &'static str,
    /// The label of a field.
    pub phone: &'static str,
    /// The label of a field.
    pub company: &'static str,
    /// The label of a field.
    pub message: &'static str,
    /// Behind the label of a field that may stay empty.
    pub optional: &'static str,
    /// Under the two fields of which one is enough.
    pub one_of_two: &'static str,
    /// On the button of the form.
    pub send: &'static str,
    /// Over a form with refused fields.
    pub check_fields: &'static str,
    /// The label of the field that people do not see.
    pub trap: &'static str,
    /// The heading once the form was sent; `{name}` is the visitor's, or nothing.
    pub thanks: &'static str,
    /// Under it; `{name}` is the card's.
    pub thanks_hint: &'static str,
    /// On the button that shares one's own card; `{name}` is the card's.
    pub one_tap: &'static str,
    /// Under it; `{name}` is the visitor's own card's.
    pub one_tap_hint: &'static str,
    /// The summary of the offline symbol.
    pub offline_code: &'static str,
    /// Under the symbol.
    pub offline_code_hint: &'static str,
    /// What the symbol is, for those who do not see it; `{name}` is the card's.
    pub offline_code_alt: &'static str,
    /// The summary of the ways to hand the card on.
    pub share_card: &'static str,
    /// The label of the card's address.
    pub link: &'static str,
    /// The way by mail.
    pub share_by_mail: &'static str,
    /// The way by text message.
    pub share_by_message: &'static str,
    /// The text that is handed on, before the address; `{name}` is the card's.
    pub share_text: &'static str,
    /// What the photo shows; `{name}` is the card's.
    pub photo_of: &'static str,
    /// On the link from a notice to the card.
    pub back: &'static str,
    /// The heading of a code that has no destination yet.
    pub unbound: &'static str,
    /// Under it.
    pub unbound_hint: &'static str,
    /// The heading of a paused code.
    pub paused: &'static str,
    /// Under it.
    pub paused_hint: &'static str,
    /// The heading of an expired code.
    pub expired: &'static str,
    /// Under it.
    pub expired_hint: &'static str,
    /// The heading of a code that was scanned as often as it may be.
    pub used_up: &'static str,
    /// Under it.
    pub used_up_hint: &'static str,
    /// The heading of an unknown code.
    pub not_found: &'static str,
    /// Under it.
    pub not_found_hint: &'static str,
    /// The heading of a card that is no longer in use.
    pub retired: &'static str,
    /// Under it.
    pub retired_hint: &'static str,
    /// The heading when the answer must wait.
    pub unavailable: &'static str,
    /// Under it.
    pub unavailable_hint: &'static str,
    /// The heading for one who asks too often.
    pub too_many: &'static str,
    /// Under it.
    pub too_many_hint: &'static str,
}

impl Words {
    /// The words for a card or a visitor of this language; English where there are none.
    pub fn of(language: &Language) -> &'static Self {
        [&GERMAN, &FRENCH, &SPANISH, &ARABIC].into_iter().find(|words| words.tag == language.primary()).unwrap_or(&ENGLISH)
    }
}

/// Puts a name where a text wants one.
pub(crate) fn with_name(text: &str, name: &str) -> String {
    text.replace("{name}", name)
}

static ENGLISH: Words = Words {
    tag: "en",
    save_contact: "Save contact",
    call: "Call",
    mail: "Email",
    map: "Map",
    web: "Website",
    work: "Work",
    home: "Home",
    mobile: "Mobile",
    fax: "Fax",
    other: "Other",
    website: "Website",
    about: "About",
    share_details: "Share your details",
    share_details_hint: "Leave your details and {name} will get back to you.",
    name: "Name",
    email: "Email",
    phone: "Phone",
    company: "Company",
    message: "Message",
    optional: "optional",
    one_of_two: "An email address or a phone number is enough.",
    send: "Send my details",
    check_fields: "Please check the marked fields.",
    trap: "Leave this field empty",
    thanks: "Thank you, {name}!",
    thanks_hint: "Your details are on their way to {name}.",
    one_tap: "Share my card with {name}",
    one_tap_hint: "One tap sends your card “{name}”.",
    offline_code: "Offline QR code",
    offline_code_hint: "Scan it with another phone: it holds the contact itself and needs no network.",
    offline_code_alt: "QR code with the contact details of {name}",
    share_card: "Share this card",
    link: "Link to this card",
    share_by_mail: "Email",
    share_by_message: "Message",
    share_text: "The business card of {name}",
    photo_of: "Photo of {name}",
    back: "Back to the card",
    unbound: "This code is waiting for its card",
    unbound_hint: "It has been printed but not connected to anything yet. If it is yours, sign in to connect it.",
    paused: "This code is paused",
    paused_hint: "Its owner has switched it off for now. Please try again later.",
    expired: "This code has expired",
    expired_hint: "The time for which it was meant is over.",
    used_up: "This code has been used up",
    used_up_hint: "It could be opened a set number of times, and those are gone.",
    not_found: "There is nothing here",
    not_found_hint: "The code is unknown. Please check whether every character is right, or scan it again.",
    retired: "This card is no longer in use",
    retired_hint: "The person it belonged to can no longer be reached through it.",
    unavailable: "One moment, please",
    unavailable_hint: "We cannot answer just now. Please try again in a minute.",
    too_many: "Slow down a little, please",
    too_many_hint: "That was many requests in a short time. Please wait a minute and try again.",
};

static GERMAN: Words = Words {
    tag: "de",
    save_contact: "Kontakt speichern",
    call: "Anrufen",
    mail: "E-Mail",
    map: "Karte",
    web: "Webseite",
    work: "Arbeit",
    home: "Privat",
    mobile: "Mobil",
    fax: "Fax",
    other: "Sonstige",
    website: "Webseite",
    about: "Über mich",
    share_details: "Ihre Kontaktdaten teilen",
    share_details_hint: "Hinterlassen Sie Ihre Daten, {name} meldet sich bei Ihnen.",
    name: "Name",
    email: "E-Mail",
    phone: "Telefon",
    company: "Firma",
    message: "Nachricht",
    optional: "freiwillig",
    one_of_two: "Eine E-Mail-Adresse oder eine Telefonnummer genügt.",
    send: "Daten senden",
    check_fields: "Bitte prüfen Sie die markierten Felder.",
    trap: "Dieses Feld leer lassen",
    thanks: "Vielen Dank, {name}!",
    thanks_hint: "Ihre Daten sind unterwegs zu {name}.",
    one_tap: "Meine Karte mit {name} teilen",
    one_tap_hint: "Ein Tipp sendet Ihre Karte „{name}“.",
    offline_code: "Offline-QR-Code",
    offline_code_hint: "Mit einem anderen Telefon scannen: Der Code enthält den Kontakt selbst und braucht kein Netz.",
    offline_code_alt: "QR-Code mit den Kontaktdaten von {name}",
    share_card: "Diese Karte weitergeben",
    link: "Link zu dieser Karte",
    share_by_mail: "E-Mail",
    share_by_message: "Nachricht",
    share_text: "Die Visitenkarte von {name}",
    photo_of: "Foto von {name}",
    back: "Zurück zur Karte",
    unbound: "Dieser Code wartet noch auf seine Karte",
    unbound_hint: "Er ist gedruckt, aber noch mit nichts verbunden. Wenn er Ihnen gehört, melden Sie sich an und verbinden Sie ihn.",
    paused: "Dieser Code ist pausiert",
    paused_hint: "Sein Besitzer hat ihn vorübergehend abgeschaltet. Bitte versuchen Sie es später noch einmal.",
    expired: "Dieser Code ist abgelaufen",
    expired_hint: "Die Zeit, für die er gedacht war, ist vorbei.",
    used_up: "Dieser Code ist aufgebraucht",
    used_up_hint: "Er durfte eine bestimmte Zahl von Malen geöffnet werden, und die ist erreicht.",
    not_found: "Hier ist nichts",
    not_found_hint: "Der Code ist unbekannt. Bitte prüfen Sie, ob jedes Zeichen stimmt, oder scannen Sie ihn noch einmal.",
    retired: "Diese Karte wird nicht mehr verwendet",
    retired_hint: "Die Person, der sie gehörte, ist über sie nicht mehr zu erreichen.",
    unavailable: "Einen Moment bitte",
    unavailable_hint: "Wir können gerade nicht antworten. Bitte versuchen Sie es in einer Minute noch einmal.",
    too_many: "Bitte etwas langsamer",
    too_many_hint: "Das waren viele Anfragen in kurzer Zeit. Bitte warten Sie eine Minute und versuchen Sie es dann noch einmal.",
};

static FRENCH: Words = Words {
    tag: "fr",
    save_contact: "Enregistrer le contact",
    call: "Appeler",
    mail: "E-mail",
    map: "Plan",
    web: "Site web",
    work: "Travail",
    home: "Domicile",
    mobile: "Mobile",
    fax: "Fax",
    other: "Autre",
    website: "Site web",
    about: "À propos",
    share_details: "Partager vos coordonnées",
    share_details_hint: "Laissez vos coordonnées, {name} vous recontactera.",
    name: "Nom",
    email: "E-mail",
    phone: "Téléphone",
    company: "Société",
    message: "Message",
    optional: "facultatif",
    one_of_two: "Une adresse e-mail ou un numéro de téléphone suffit.",
    send: "Envoyer mes coordonnées",
    check_fields: "Veuillez vérifier les champs signalés.",
    trap: "Laissez ce champ vide",
    thanks: "Merci, {name} !",
    thanks_hint: "Vos coordonnées sont en route vers {name}.",
    one_tap: "Partager ma carte avec {name}",
    one_tap_hint: "Un geste suffit pour envoyer votre carte « {name} ».",
    offline_code: "Code QR hors ligne",
    offline_code_hint: "Scannez-le avec un autre téléphone : il contient le contact et fonctionne sans réseau.",
    offline_code_alt: "Code QR avec les coordonnées de {name}",
    share_card: "Partager cette carte",
    link: "Lien vers cette carte",
    share_by_mail: "E-mail",
    share_by_message: "Message",
    share_text: "La carte de visite de {name}",
    photo_of: "Photo de {name}",
    back: "Retour à la carte",
    unbound: "Ce code attend sa carte",
    unbound_hint: "Il est imprimé mais n’est encore relié à rien. S’il est à vous, connectez-vous pour le relier.",
    paused: "Ce code est en pause",
    paused_hint: "Son propriétaire l’a désactivé pour le moment. Veuillez réessayer plus tard.",
    expired: "Ce code a expiré",
    expired_hint: "La période pour laquelle il était prévu est terminée.",
    used_up: "Ce code est épuisé",
    used_up_hint: "Il pouvait être ouvert un nombre limité de fois, et ce nombre est atteint.",
    not_found: "Il n’y a rien ici",
    not_found_hint: "Ce code est inconnu. Vérifiez chaque caractère ou scannez-le à nouveau.",
    retired: "Cette carte n’est plus utilisée",
    retired_hint: "La personne à qui elle appartenait n’est plus joignable par ce moyen.",
    unavailable: "Un instant, s’il vous plaît",
    unavailable_hint: "Nous ne pouvons pas répondre pour le moment. Veuillez réessayer dans une minute.",
    too_many: "Un peu moins vite, s’il vous plaît",
    too_many_hint: "Beaucoup de demandes en peu de temps. Patientez une minute, puis réessayez.",
};

static SPANISH: Words = Words {
    tag: "es",
    save_contact: "Guardar contacto",
    call: "Llamar",
    mail: "Correo",
    map: "Mapa",
    web: "Sitio web",
    work: "Trabajo",
    home: "Casa",
    mobile: "Móvil",
    fax: "Fax",
    other: "Otro",
    website: "Sitio web",
    about: "Acerca de mí",
    share_details: "Comparte tus datos",
    share_details_hint: "Deja tus datos y {name} se pondrá en contacto contigo.",
    name: "Nombre",
    email: "Correo electrónico",
    phone: "Teléfono",
    company: "Empresa",
    message: "Mensaje",
    optional: "opcional",
    one_of_two: "Basta con un correo electrónico o un número de teléfono.",
    send: "Enviar mis datos",
    check_fields: "Revisa los campos marcados.",
    trap: "Deja este campo vacío",
    thanks: "¡Gracias, {name}!",
    thanks_hint: "Tus datos van en camino a {name}.",
    one_tap: "Compartir mi tarjeta con {name}",
    one_tap_hint: "Un toque envía tu tarjeta «{name}».",
    offline_code: "Código QR sin conexión",
    offline_code_hint: "Escanéalo con otro teléfono: contiene el contacto y no necesita red.",
    offline_code_alt: "Código QR con los datos de contacto de {name}",
    share_card: "Compartir esta tarjeta",
    link: "Enlace a esta tarjeta",
    share_by_mail: "Correo",
    share_by_message: "Mensaje",
    share_text: "La tarjeta de visita de {name}",
    photo_of: "Foto de {name}",
    back: "Volver a la tarjeta",
    unbound: "Este código espera su tarjeta",
    unbound_hint: "Está impreso, pero aún no está conectado a nada. Si es tuyo, inicia sesión para conectarlo.",
    paused: "Este código está en pausa",
    paused_hint: "Su propietario lo ha desactivado por ahora. Inténtalo más tarde.",
    expired: "Este código ha caducado",
    expired_hint: "El tiempo para el que estaba previsto ha terminado.",
    used_up: "Este código está agotado",
    used_up_hint: "Podía abrirse un número limitado de veces y ya se alcanzó.",
    not_found: "Aquí no hay nada",
    not_found_hint: "El código es desconocido. Comprueba que cada carácter sea correcto o escanéalo de nuevo.",
    retired: "Esta tarjeta ya no se usa",
    retired_hint: "La persona a la que pertenecía ya no está disponible por este medio.",
    unavailable: "Un momento, por favor",
    unavailable_hint: "Ahora mismo no podemos responder. Inténtalo de nuevo en un minuto.",
    too_many: "Un poco más despacio, por favor",
    too_many_hint: "Fueron muchas solicitudes en poco tiempo. Espera un minuto e inténtalo de nuevo.",
};

static ARABIC: Words = Words {
    tag: "ar",
    save_contact: "حفظ جهة الاتصال",
    call: "اتصال",
    mail: "بريد",
    map: "خريطة",
    web: "الموقع",
    work: "العمل",
    home: "المنزل",
    mobile: "الجوال",
    fax: "فاكس",
    other: "آخر",
    website: "الموقع الإلكتروني",
    about: "نبذة",
    share_details: "شارك بياناتك",
    share_details_hint: "اترك بياناتك وسيتواصل معك {name}.",
    name: "الاسم",
    email: "البريد الإلكتروني",
    phone: "الهاتف",
    company: "الشركة",
    message: "الرسالة",
    optional: "اختياري",
    one_of_two: "يكفي بريد إلكتروني أو رقم هاتف.",
    send: "إرسال بياناتي",
    check_fields: "يرجى مراجعة الحقول المحددة.",
    trap: "اترك هذا الحقل فارغًا",
    thanks: "شكرًا لك، {name}!",
    thanks_hint: "بياناتك في طريقها إلى {name}.",
    one_tap: "مشاركة بطاقتي مع {name}",
    one_tap_hint: "لمسة واحدة ترسل بطاقتك «{name}».",
    offline_code: "رمز QR دون اتصال",
    offline_code_hint: "امسحه بهاتف آخر: فهو يحمل جهة الاتصال نفسها ولا يحتاج إلى شبكة.",
    offline_code_alt: "رمز QR يحمل بيانات الاتصال الخاصة بـ {name}",
    share_card: "مشاركة هذه البطاقة",
    link: "رابط هذه البطاقة",
    share_by_mail: "بريد",
    share_by_message: "رسالة",
    share_text: "بطاقة أعمال {name}",
    photo_of: "صورة {name}",
    back: "العودة إلى البطاقة",
    unbound: "هذا الرمز في انتظار بطاقته",
    unbound_hint: "لقد طُبع ولم يُربط بأي شيء بعد. إذا كان لك فسجّل الدخول لربطه.",
    paused: "هذا الرمز متوقف مؤقتًا",
    paused_hint: "أوقفه صاحبه في الوقت الحالي. يرجى المحاولة لاحقًا.",
    expired: "انتهت صلاحية هذا الرمز",
    expired_hint: "انتهى الوقت المخصص له.",
    used_up: "استُنفد هذا الرمز",
    used_up_hint: "كان يمكن فتحه عددًا محددًا من المرات وقد اكتمل.",
    not_found: "لا يوجد شيء هنا",
    not_found_hint: "الرمز غير معروف. يرجى التأكد من صحة كل حرف أو مسحه مرة أخرى.",
    retired: "لم تعد هذه البطاقة مستخدمة",
    retired_hint: "لم يعد بالإمكان الوصول إلى صاحبها من خلالها.",
    unavailable: "لحظة من فضلك",
    unavailable_hint: "لا يمكننا الرد الآن. يرجى المحاولة بعد دقيقة.",
    too_many: "تمهّل قليلًا من فضلك",
    too_many_hint: "كانت الطلبات كثيرة في وقت قصير. يرجى الانتظار دقيقة ثم المحاولة مجددًا.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_without_words_gets_english_ones() {
        let of = |tag: &str| Words::of(&Language::parse(tag).unwrap()).tag;
        assert_eq!((of("de-AT"), of("ar-EG"), of("ja"), of("en-GB")), ("de", "ar", "en", "en"));
    }

    #[test]
    fn a_name_is_asked_for_in_the_same_places_in_every_language() {
        for words in [&GERMAN, &FRENCH, &SPANISH, &ARABIC] {
            let holes = |words: &Words| {
                [words.share_details_hint, words.thanks, words.thanks_hint, words.one_tap, words.photo_of, words.share_text]
                    .map(|text| text.matches("{name}").count())
            };
            assert_eq!(holes(words), holes(&ENGLISH), "{}", words.tag);
        }
        assert_eq!(with_name("Photo of {name}", "Ada"), "Photo of Ada");
    }
}
